#include "bench/config/bench_command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

namespace lockstep {
namespace {

using testing::HasSubstr;

BenchConfig parse(const std::string& bench, const std::vector<std::string>& arguments) {
  return resolve_bench_config(bench, split_flags(with_long_flags(bench, arguments), bench_flag_specs(bench)));
}

std::string refusal(const std::string& bench, const std::vector<std::string>& arguments) {
  try {
    parse(bench, arguments);
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "accepted";
}

TEST(BenchCommandLine, TakesNcclTestsFlags) {
  for (const auto& flags : std::vector<std::vector<std::string>>{
           {"-b", "8", "-e", "128M", "-f", "2", "-w", "1", "-n", "7", "-d", "bfloat16"},
           {"--minbytes", "8", "--maxbytes=128M", "--stepfactor", "2", "--warmup_iters", "1", "--iters", "7",
            "--datatype", "bfloat16"}}) {
    const auto config = std::get<CollectiveConfig>(parse("all-reduce", flags));
    EXPECT_EQ(config.min_bytes, "8");
    EXPECT_EQ(config.max_bytes, "128M");
    EXPECT_EQ(config.step_factor, 2);
    EXPECT_EQ(config.warmup_iters, 1);
    EXPECT_EQ(config.iters, 7);
    EXPECT_EQ(config.dtype, "bfloat16");
  }
}

TEST(BenchCommandLine, SharedOptionsReachEachBenchmark) {
  for (const auto& bench : benches()) {
    if (bench.name == kScalingBench) continue;  // has ranks only through the others
    const BenchConfig config = parse(bench.name, {"--backend", "mpi", "--reduction_order=tree", "--interface",
                                                  "wire", "--timeout", "5", "--json", "out.json"});
    const BenchSetting& setting = setting_of(config);
    EXPECT_EQ(setting.backend, "mpi");
    EXPECT_EQ(setting.reduction_order, "tree");
    EXPECT_EQ(setting.interface, "wire");
    EXPECT_EQ(setting.timeout_s, 5.0);
    EXPECT_EQ(setting.json, "out.json");
  }
}

TEST(BenchCommandLine, PeersAreTheBenchmarksOwn) {
  EXPECT_EQ(setting_of(parse("all-reduce", {"--compare", "gloo,mpi,tcp"})).compare, "gloo,mpi,tcp");
  EXPECT_EQ(setting_of(parse("step", {"--compare", "c10d,pytorch"})).compare, "c10d,pytorch");
  EXPECT_THAT(refusal("all-reduce", {"--compare", "pytorch"}), HasSubstr("some of gloo, mpi, tcp"));
  EXPECT_THAT(refusal("step", {"--compare", "gloo"}),
              HasSubstr("some of c10d, pytorch, pytorch-ddp, compile"));
}

TEST(BenchCommandLine, AGpuHasItsOwnPeers) {
  const auto config = std::get<StepConfig>(
      parse("step", {"--device", "cuda", "--precision", "bf16-mixed", "--channels-last", "--compare",
                     "pytorch,compile", "--backend", "nccl", "--share-gpus", "--nccl-memory", "registered"}));
  EXPECT_EQ(config.device, "cuda");
  EXPECT_EQ(config.precision, "bf16-mixed");
  EXPECT_TRUE(config.channels_last);
  EXPECT_TRUE(config.share_gpus);
  EXPECT_EQ(config.nccl_memory, "registered");
  EXPECT_EQ(std::get<StepConfig>(parse("step", {})).device, "cpu");
  EXPECT_THAT(refusal("step", {"--device", "cuda", "--compare", "c10d,pytorch"}),
              HasSubstr("--compare c10d with --device cuda"));
  EXPECT_THAT(refusal("step", {"--device", "cuda", "--replay", "profile.json"}),
              HasSubstr("--replay with --device cuda"));
  EXPECT_THAT(refusal("all-reduce", {"--device", "cuda", "--compare", "gloo"}),
              HasSubstr("--compare gloo with --device cuda"));
  EXPECT_THAT(refusal("all-reduce", {"--device", "gpu"}), HasSubstr("cpu, cuda"));
}

TEST(BenchCommandLine, EachCollectiveHasWhatMeansSomethingThere) {
  const auto scatter = std::get<CollectiveConfig>(parse("reduce-scatter", {"-c", "0", "--compare", "mpi"}));
  EXPECT_EQ(scatter.collective, Collective::kReduceScatter);
  EXPECT_EQ(scatter.check, 0);
  EXPECT_FALSE(scatter.in_place);
  EXPECT_EQ(std::get<CollectiveConfig>(parse("broadcast", {"-r", "2"})).root, 2);
  EXPECT_TRUE(std::get<CollectiveConfig>(parse("broadcast", {})).in_place);
  EXPECT_FALSE(std::get<CollectiveConfig>(parse("send-receive", {})).in_place);
  EXPECT_TRUE(std::get<CollectiveConfig>(parse("all-gather", {"--in-place"})).in_place);
  EXPECT_THAT(refusal("all-gather", {"-r", "2"}), HasSubstr("--root"));
  EXPECT_THAT(refusal("broadcast", {"--in-place=false"}), HasSubstr("--in-place"));
  EXPECT_THAT(refusal("send-receive", {"--in-place"}), HasSubstr("--in-place"));
  EXPECT_THAT(refusal("reduce-scatter", {"--buffers", "warm"}), HasSubstr("--buffers"));
  EXPECT_THAT(refusal("reduce-scatter", {"--in-place", "--compare", "mpi"}),
              HasSubstr("--in-place with --compare mpi"));
}

TEST(BenchCommandLine, WhatCannotBeIsRefusedByName) {
  EXPECT_THAT(refusal("all-reduce", {"--min-bytes", "2M", "--max-bytes", "1M"}),
              HasSubstr("--min-bytes: \"2M\" is more than --max-bytes \"1M\""));
  EXPECT_THAT(refusal("all-reduce", {"-b", "12x"}), HasSubstr("--min-bytes: \"12x\""));
  EXPECT_THAT(refusal("all-reduce", {"--iters", "0"}), HasSubstr("--iters"));
  EXPECT_THAT(refusal("all-reduce", {"--dtype", "complex64"}), HasSubstr("--dtype"));
  EXPECT_THAT(refusal("all-reduce", {"--step-factor", "1"}), HasSubstr("--step-factor"));
  EXPECT_THAT(refusal("all-reduce", {"--itres", "3"}), HasSubstr("did you mean --iters"));
  EXPECT_THAT(refusal("step", {"-b", "8"}), HasSubstr("\"-b\""));
  EXPECT_THAT(refusal("step", {"--contenders", ""}), HasSubstr("--contenders"));
  EXPECT_THAT(refusal("step", {"--workload", "resnet81"}), HasSubstr("resnet18"));
  EXPECT_THAT(refusal("step", {"--compress", "fp8"}), HasSubstr("none, fp16"));
}

TEST(BenchCommandLine, TheNameComesFirst) {
  EXPECT_EQ(bench_name({"step", "--rounds", "3"}), "step");
  for (const auto& [arguments, text] : std::vector<std::pair<std::vector<std::string>, std::string>>{
           {{}, "missing"}, {{"--rounds", "3"}, "missing"}, {{"all-reduec"}, "did you mean all-reduce?"}}) {
    try {
      bench_name(arguments);
      ADD_FAILURE() << text;
    } catch (const std::invalid_argument& error) {
      EXPECT_THAT(error.what(), HasSubstr(text));
    }
  }
}

TEST(BenchCommandLine, AStudyHasNoRanksOfItsOwn) {
  EXPECT_THROW(resolve_bench_config(kScalingBench, {}), std::invalid_argument);
}

TEST(BenchCommandLine, EveryFlagIsInTheHelp) {
  for (const auto& bench : benches()) {
    const std::string help = format_help(bench_help_entries(bench.name));
    for (const FlagSpec& spec : bench_flag_specs(bench.name)) EXPECT_THAT(help, HasSubstr("--" + spec.name));
  }
}

}  // namespace
}  // namespace lockstep

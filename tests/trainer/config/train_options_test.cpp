#include "trainer/config/train_options.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "tests/trainer/config/refusal.h"
#include "trainer/config/cuda_graph_options.h"
#include "trainer/config/lr_schedule_options.h"

namespace lockstep {
namespace {

TEST(TrainOptions, DefaultsKeepTheirOwnRules) {
  const TrainConfig defaults;
  for (const auto& option : train_options()) {
    TrainConfig config;
    EXPECT_NO_THROW(option.set(config, option.get(defaults), option.name)) << option.name;
    EXPECT_NO_THROW(option.set_text(config, to_text(option.get(defaults)), option.name)) << option.name;
    EXPECT_EQ(option.name.find('_'), std::string::npos) << option.name;
    EXPECT_EQ(option.value_name.empty(), option.kind() == OptionKind::kSwitch) << option.name;
  }
}

TEST(TrainOptions, EveryRowHasAMemberOfItsOwn) {
  std::set<std::string> names;
  for (const auto& option : train_options()) {
    EXPECT_TRUE(names.insert(option.name).second) << option.name;
    // Writing through this row changes what this row reads and no other row.
    TrainConfig config;
    const TrainConfig defaults;
    std::visit(
        [&](auto pointer) {
          using Value = std::decay_t<decltype(config.*pointer)>;
          if constexpr (std::is_same_v<Value, std::string>) {
            config.*pointer += "x";
          } else if constexpr (std::is_same_v<Value, bool>) {
            config.*pointer = !(config.*pointer);
          } else {
            config.*pointer += 1;
          }
        },
        option.member);
    for (const auto& other : train_options()) {
      EXPECT_EQ(other.get(config) != other.get(defaults), other.name == option.name)
          << option.name << other.name;
    }
  }
}

TEST(TrainOptions, FlagsThatOthersBuildOnAreThere) {
  for (const char* name : {"model",
                           "data",
                           "run-dir",
                           "resume",
                           "fresh",
                           "seed",
                           "max-epochs",
                           "max-steps",
                           "batch-size",
                           "optimizer",
                           "lr",
                           "momentum",
                           "weight-decay",
                           "device",
                           "backend",
                           "precision",
                           "num-threads",
                           "num-workers",
                           "accumulate-grad-batches",
                           "gradient-clip-val",
                           "log-every-n-steps",
                           "checkpoint-interval",
                           "reduction-order",
                           "timeout",
                           "price-per-gpu-hour",
                           "currency"}) {
    EXPECT_NE(find_option(train_options(), name), nullptr) << name;
  }
}

TEST(TrainOptions, RunFolderIsNamedAfterModelAndData) {
  TrainConfig config;
  EXPECT_EQ(run_dir_of(config), "runs/convnet-fashion-mnist");
  config.model = "resnet18";
  config.data = "/data/sets/flowers/";
  EXPECT_EQ(run_dir_of(config), "runs/resnet18-flowers");
  config.data = "..";
  EXPECT_EQ(run_dir_of(config), "runs/resnet18-data");
  config.data = "text:input.txt";
  EXPECT_EQ(run_dir_of(config), "runs/resnet18-input.txt");
  config.data = "tokens:/data/fineweb/";
  EXPECT_EQ(run_dir_of(config), "runs/resnet18-fineweb");
  config.model = "../../etc";
  EXPECT_EQ(run_dir_of(config), "runs/..-..-etc-fineweb");
  config.run_dir = "elsewhere";
  EXPECT_EQ(run_dir_of(config), "elsewhere");
}

TEST(TrainOptions, KeyValuesAreWhatRanksMustAgreeOn) {
  TrainConfig config;
  config.lr = 0.1;
  const auto pairs = to_key_values(config);
  const std::map<std::string, std::string> values(pairs.begin(), pairs.end());
  EXPECT_EQ(values.size(), pairs.size());
  EXPECT_EQ(values.at("lr"), "0.1");
  EXPECT_EQ(values.at("batch-size"), "64");
  EXPECT_EQ(values.at("shuffle"), "true");
  EXPECT_EQ(values.at("run-dir"), "runs/convnet-fashion-mnist");
  const std::set<std::string> may_differ = {"num-workers", "progress-bar", "notices",  "notices-url",
                                            "master-addr", "master-port",  "no-report"};
  for (const std::string& name : may_differ) EXPECT_EQ(values.count(name), 0u) << name;
  EXPECT_EQ(values.size() + may_differ.size(), train_options().size());
}

TEST(TrainOptions, Contradictions) {
  TrainConfig config;
  EXPECT_NO_THROW(check_contradictions(config));
  config.resume = config.fresh = true;
  expect_refused([&] { check_contradictions(config); }, {"--resume", "--fresh"});
  config.fresh = false;
  config.device = "cpu";
  config.backend = "nccl";
  expect_refused([&] { check_contradictions(config); }, {"--backend nccl", "--device cpu"});
  config = {};
  config.share_gpus = true;
  EXPECT_NO_THROW(check_contradictions(config));
  config.backend = "mpi";
  expect_refused([&] { check_contradictions(config); }, {"--share-gpus", "--backend mpi"});
  config = {};
  config.expandable_segments = true;
  EXPECT_NO_THROW(check_contradictions(config));
  config.device = "cpu";
  expect_refused([&] { check_contradictions(config); }, {"--expandable-segments", "--device cpu"});
  config = {};
  config.cuda_sync_debug_mode = "warn";
  EXPECT_NO_THROW(check_contradictions(config));
  config.device = "cpu";
  expect_refused([&] { check_contradictions(config); }, {"--cuda-sync-debug-mode warn", "--device cpu"});
}

TEST(TrainOptions, GroupsOfBatchNormNeedItSynchronised) {
  TrainConfig config;
  config.sync_batchnorm_group_size = 2;
  expect_refused([&] { check_contradictions(config); },
                 {"--sync-batchnorm-group-size without --sync-batchnorm"});
  config.sync_batchnorm = true;
  EXPECT_NO_THROW(check_contradictions(config));
}

TEST(TrainOptions, ACudaGraphIsRefusedWithWhatCannotBeCaptured) {
  TrainConfig config;
  config.cuda_graph = "on";
  EXPECT_NO_THROW(check_contradictions(config));
  config.backend = "nccl";
  EXPECT_EQ(why_not_captured(config), "");
  const auto expect_named = [](const std::string& option, const std::function<void(TrainConfig&)>& change) {
    TrainConfig other;
    other.device = "cuda";
    change(other);
    EXPECT_NO_THROW(check_contradictions(other)) << option << ": auto does without";
    EXPECT_THAT(why_not_captured(other), ::testing::HasSubstr(option));
    other.cuda_graph = "on";
    expect_refused([&] { check_contradictions(other); },
                   {"--cuda-graph on with " + option, "leave one of them out"});
  };
  expect_named("--device cpu", [](TrainConfig& other) { other.device = "cpu"; });
  expect_named("--backend mpi", [](TrainConfig& other) { other.backend = "mpi"; });
  expect_named("--share-gpus", [](TrainConfig& other) { other.share_gpus = true; });
  expect_named("--expandable-segments", [](TrainConfig& other) { other.expandable_segments = true; });
  expect_named("--activation-checkpointing",
               [](TrainConfig& other) { other.activation_checkpointing = true; });
  expect_named("--shard-optimizer on", [](TrainConfig& other) { other.shard_optimizer = "on"; });
  expect_named("--sync-batchnorm-group-size", [](TrainConfig& other) {
    other.sync_batchnorm = true;
    other.sync_batchnorm_group_size = 2;
  });
  expect_named("--record-hashes", [](TrainConfig& other) { other.record_hashes = true; });
  expect_named("--trace", [](TrainConfig& other) { other.trace = true; });
  expect_named("--check-drift-every-n-steps 1",
               [](TrainConfig& other) { other.check_drift_every_n_steps = 1; });
}

TrainConfig scheduled(const std::string& name) {
  TrainConfig config;
  config.lr_schedule = name;
  return config;
}

TEST(LrScheduleOptions, AskForWhatTheScheduleNeeds) {
  for (const char* name : {"constant", "exponential", "linear", "cosine", "polynomial", "one-cycle"})
    EXPECT_NO_THROW(check_contradictions(scheduled(name))) << name;
  TrainConfig step = scheduled("step");
  expect_refused([&] { check_contradictions(step); }, {"--lr-schedule step needs --lr-step-size"});
  step.lr_step_size = 30;
  EXPECT_NO_THROW(check_contradictions(step));
  TrainConfig multi_step = scheduled("multi-step");
  expect_refused([&] { check_contradictions(multi_step); },
                 {"--lr-schedule multi-step needs --lr-milestones"});
  multi_step.lr_milestones = "30,60";
  EXPECT_NO_THROW(check_contradictions(multi_step));
  TrainConfig one_cycle = scheduled("one-cycle");
  one_cycle.warmup_steps = 5;
  expect_refused([&] { check_contradictions(one_cycle); }, {"one-cycle", "--warmup-steps"});
}

TEST(LrScheduleOptions, AreOfNoUseElsewhere) {
  TrainConfig config = scheduled("cosine");
  config.lr_gamma = 0.5;
  expect_refused([&] { check_contradictions(config); },
                 {"--lr-gamma belongs to --lr-schedule step, multi-step, exponential, not to cosine"});
  config = scheduled("constant");
  config.lr_schedule_length = 9;
  expect_refused([&] { check_contradictions(config); }, {"--lr-schedule-length", "not to constant"});
  config = {};
  config.warmup_start_factor = 0.1;
  expect_refused([&] { check_contradictions(config); }, {"--warmup-start-factor needs --warmup-steps"});
}

TEST(LrScheduleOptions, MilestonesAscend) {
  EXPECT_EQ(parse_milestones("30,60,80"), (std::vector<std::int64_t>{30, 60, 80}));
  EXPECT_EQ(parse_milestones("1"), std::vector<std::int64_t>{1});
  for (const char* text :
       {"", "0,3", "3,3", "5,2", "3,", ",3", "3;4", "3 4", "-1", "1e3", "99999999999999999999"})
    EXPECT_TRUE(parse_milestones(text).empty()) << text;
  TrainConfig config;
  const auto* option = find_option(train_options(), "lr-milestones");
  expect_refused([&] { option->set_text(config, "5,2", "--lr-milestones"); },
                 {"--lr-milestones", "ascending"});
}

TEST(TrainOptions, TheEndpointTakesPortsAndIpAddresses) {
  TrainConfig config;
  const auto set = [&](const std::string& name, const std::string& text) {
    find_option(train_options(), name)->set_text(config, text, "--" + name);
  };
  EXPECT_EQ(config.metrics_port, 0);
  EXPECT_EQ(config.metrics_address, "127.0.0.1");
  set("metrics-port", "9090");
  set("metrics-address", "::1");
  EXPECT_EQ(config.metrics_port, 9090);
  EXPECT_EQ(config.metrics_address, "::1");
  expect_refused([&] { set("metrics-port", "65536"); }, {"--metrics-port", "65535"});
  // The server would take a comma for a second place to listen on.
  for (const char* address : {"localhost", "", "127.0.0.1,0.0.0.0", "127.0.0.1:80"})
    expect_refused([&] { set("metrics-address", address); }, {"--metrics-address", "an IP address"});
}

TEST(TrainOptions, NesterovAsInPyTorch) {
  TrainConfig config;
  config.nesterov = true;
  EXPECT_NO_THROW(check_contradictions(config));
  config.dampening = 0.1;
  expect_refused([&] { check_contradictions(config); }, {"--nesterov", "--dampening 0"});
  config.dampening = 0;
  config.momentum = 0;
  expect_refused([&] { check_contradictions(config); }, {"--nesterov", "--momentum"});
}

}  // namespace
}  // namespace lockstep

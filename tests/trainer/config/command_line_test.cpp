#include "trainer/config/command_line.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <initializer_list>
#include <regex>
#include <sstream>

#include "sampler/data_error.h"
#include "tests/temporary_folder.h"
#include "tests/trainer/config/refusal.h"
#include "trainer/config/train_options.h"

namespace lockstep {
namespace {

TrainConfig parse(const std::vector<std::string>& arguments) {
  return parse_command_line(arguments).config;
}

TEST(CommandLine, DefaultsWithoutFlags) {
  const TrainConfig config = parse({});
  const TrainConfig defaults;
  for (const auto& option : train_options()) {
    EXPECT_EQ(option.get(config), option.get(defaults)) << option.name;
  }
}

TEST(CommandLine, EveryKindOfOption) {
  const TrainConfig config = parse(
      {"--model", "mlp", "--lr=3e-4", "--max_steps", "100", "--seed=9223372036854775807", "--num-threads=2",
       "--fresh", "--shuffle=false", "--timeout", "30", "--checkpoint-interval=50", "--currency", "EUR"});
  EXPECT_EQ(config.model, "mlp");
  EXPECT_EQ(config.lr, 3e-4);
  EXPECT_EQ(config.max_steps, 100);
  EXPECT_EQ(config.seed, 9223372036854775807u);
  EXPECT_EQ(config.num_threads, 2);
  EXPECT_TRUE(config.fresh);
  EXPECT_FALSE(config.shuffle);
  EXPECT_EQ(config.timeout_s, 30.0);
  EXPECT_EQ(config.checkpoint_interval, "50");
  EXPECT_EQ(config.currency, "EUR");
}

TEST(CommandLine, AFlagWinsOverTheFile) {
  const TemporaryFolder folder;
  const std::string file = (folder.path() / "c.toml").string();
  write_text(file, "lr = 0.5\nbatch_size = 8\n");
  for (const auto& arguments : {std::vector<std::string>{"--config", file, "--lr", "0.25"},
                                std::vector<std::string>{"--lr", "0.25", "--config", file}}) {
    EXPECT_EQ(parse(arguments).lr, 0.25);
    EXPECT_EQ(parse(arguments).batch_size, 8);
  }
}

TEST(CommandLine, ContradictionsAreFoundAcrossFileAndFlags) {
  const TemporaryFolder folder;
  const std::string file = (folder.path() / "c.toml").string();
  write_text(file, "fresh = true\n");
  expect_refused([&] { parse({"--config", file, "--resume"}); }, {"--resume", "--fresh"});
  EXPECT_TRUE(parse({"--config", file, "--resume", "--fresh=false"}).resume);
}

TEST(CommandLine, RefusesEachBadValueNamingFlagValueAndRemedy) {
  struct Case {
    const char* flag;
    const char* value;
    const char* remedy;
  };
  for (const Case& bad :
       std::initializer_list<Case>{{"batch-size", "0", "from 1"},
                                   {"batch-size", "12x", "whole number"},
                                   {"batch-size", "-4", "from 1"},
                                   {"batch-size", "1e3", "whole number"},
                                   {"batch-size", "4294967296", "2147483647"},
                                   {"eval-batch-size", "-1", "from 0"},
                                   {"max-epochs", "0", "from 1"},
                                   {"max-steps", "0", "-1 (no limit)"},
                                   {"max-steps", "-2", "-1 (no limit)"},
                                   {"lr", "0", "above 0"},
                                   {"lr", "-0.1", "above 0"},
                                   {"lr", "nan", "above 0"},
                                   {"lr", "inf", "above 0"},
                                   {"lr", "0.1x", "above 0"},
                                   {"lr", "", "above 0"},
                                   {"momentum", "-0.9", "0 or above"},
                                   {"momentum", "nan", "0 or above"},
                                   {"weight-decay", "-1", "0 or above"},
                                   {"gradient-clip-val", "inf", "0 or above"},
                                   {"seed", "-1", "from 0"},
                                   {"seed", "9223372036854775808", "2^63-1"},
                                   {"accumulate-grad-batches", "0", "from 1"},
                                   {"device", "gpu", "auto, cpu, cuda"},
                                   {"backend", "rccl", "auto, nccl, shm, tcp, mpi, gloo"},
                                   {"precision", "64-true", "32-true, bf16-mixed, 16-mixed"},
                                   {"grad-scaler-init-scale", "0", "above 0"},
                                   {"grad-scaler-init-scale", "1e39", "at most 3.4028234663852886e+38"},
                                   {"grad-scaler-growth-interval", "0", "from 1"},
                                   {"reduction-order", "ring", "auto, pytorch, tree, fast"},
                                   {"nccl-memory", "pinned", "auto, ordinary, registered"},
                                   {"optimizer", "adamax", "sgd, adam, adamw"},
                                   {"optimizer", "SGD", "sgd, adam, adamw"},
                                   {"shard-optimizer", "yes", "auto, on, off"},
                                   {"overlap-param-gather", "yes", "auto, on, off"},
                                   {"cuda-sync-debug-mode", "off", "default, warn, error"},
                                   {"timeout", "0", "above 0"},
                                   {"timeout", "-5", "above 0"},
                                   {"timeout", "1e9", "1000000"},
                                   {"bucket-cap-mb", "0", "above 0"},
                                   {"price-per-gpu-hour", "-2", "from 0 to 1000000"},
                                   {"price-per-gpu-hour", "1e9", "from 0 to 1000000"},
                                   {"price-per-gpu-hour", "nan", "from 0 to 1000000"},
                                   {"billing", "per-day", "exact, per-millisecond"},
                                   {"billing-minimum", "-1", "from 0"},
                                   {"storage-gb", "-1", "from 0"},
                                   {"budget", "-5", "from 0"},
                                   {"budget-stop", "0", "above 0, at most 1"},
                                   {"budget-stop", "1.5", "above 0, at most 1"},
                                   {"currency", "usd", "three capital letters"},
                                   {"currency", "US", "three capital letters"},
                                   {"currency", "EURO", "three capital letters"},
                                   {"checkpoint-interval", "0", "epoch"},
                                   {"checkpoint-interval", "-5", "epoch"},
                                   {"checkpoint-interval", "5x", "epoch"},
                                   {"checkpoint-interval", "epochs", "epoch"},
                                   {"checkpoint-interval", "9999999999999999999", "epoch"},
                                   {"keep-checkpoints", "0", "from 1"},
                                   {"log-every-n-steps", "0", "from 1"},
                                   {"num-workers", "-1", "from 0"},
                                   {"num-threads", "99999", "4096"},
                                   {"master-port", "65536", "65535"},
                                   {"model", "", "not empty"},
                                   {"data", "", "not empty"},
                                   {"run-dir", "a\nb", "one line"},
                                   {"shuffle", "no", "true or false"},
                                   {"synthetic-samples", "0", "from 1"},
                                   {"sequence-length", "-1", "from 0"},
                                   {"vocab-size", "-1", "from 0"}}) {
    std::string shown = bad.value;
    std::replace(shown.begin(), shown.end(), '\n', '?');
    expect_refused([&] { parse({"--" + std::string(bad.flag) + "=" + bad.value}); },
                   {"--" + std::string(bad.flag), "\"" + shown + "\"", bad.remedy});
  }
}

TEST(CommandLine, RefusesUnknownAndRepeatedFlags) {
  expect_refused([] { parse({"--bath-size", "4"}); }, {"--bath-size", "--batch-size"});
  expect_refused([] { parse({"--nproc-per-node", "4"}); }, {"--nproc-per-node"});  // the launcher's
  expect_refused([] { parse({"--lr=1", "--lr=1"}); }, {"--lr", "twice"});
  expect_refused<DataError>([] { parse({"--config", "/no/such/file.toml"}); }, {"/no/such/file.toml"});
}

TEST(CommandLine, HelpAndVersionWinOverErrors) {
  EXPECT_TRUE(parse_command_line({"--lr", "x", "--help"}).help);
  EXPECT_TRUE(parse_command_line({"--version"}).version);
}

TEST(CommandLine, HelpNamesEveryOptionWithItsDefaultIn100Columns) {
  std::string help = train_help();
  std::istringstream lines(help);
  for (std::string line; std::getline(lines, line);) {
    EXPECT_LE(line.size(), 100u) << line;
  }
  help = std::regex_replace(help, std::regex("\n {32}"), " ");  // unwrap
  for (const auto& option : train_options()) {
    EXPECT_THAT(help, testing::HasSubstr("  --" + option.name)) << option.name;
  }
  for (const char* part :
       {"Model and data:", "Optimisation:", "Where and how it runs:", "What it leaves behind:", "Cost:",
        "--config FILE", "(default: 0.01)", "(default: fashion-mnist)", "SECONDS", "(default: 600.0)"}) {
    EXPECT_THAT(help, testing::HasSubstr(part));
  }
}

}  // namespace
}  // namespace lockstep

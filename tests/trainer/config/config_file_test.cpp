#include "trainer/config/config_file.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <random>

#include "sampler/data_error.h"
#include "tests/temporary_folder.h"
#include "tests/trainer/config/refusal.h"
#include "trainer/config/train_options.h"

namespace lockstep {
namespace {

TrainConfig read(const std::string& text) {
  const TemporaryFolder folder;
  write_text(folder.path() / "c.toml", text);
  TrainConfig config;
  read_config_file(folder.path() / "c.toml", config);
  return config;
}

TEST(ConfigFile, RoundTripOfEveryOption) {
  TrainConfig config;
  config.model = "my \"net\"\\'s";
  config.data = "C:\\weird # folder = größe";
  config.lr = 0.1 + 0.2;  // 0.30000000000000004
  config.momentum = 5e-324;
  config.weight_decay = 1e22;
  config.seed = 9223372036854775807u;
  config.shuffle = false;
  config.max_steps = -1;
  config.num_threads = 3;
  config.checkpoint_interval = "100";
  config.run_dir = "some/where";
  config.currency = "EUR";
  const TrainConfig back = read(to_toml(config));
  for (const auto& option : train_options()) {
    EXPECT_EQ(option.get(back), option.get(config)) << option.name;
  }
}

TEST(ConfigFile, NumbersComeBackWithTheSameBits) {
  std::mt19937_64 generator(2);
  for (int i = 0; i < 300; ++i) {
    TrainConfig config;
    config.momentum = std::abs(std::bit_cast<double>(generator()));
    if (std::isfinite(config.momentum)) {
      EXPECT_EQ(std::bit_cast<std::uint64_t>(read(to_toml(config)).momentum),
                std::bit_cast<std::uint64_t>(config.momentum));
    }
  }
}

TEST(ConfigFile, TheRunFolderIsResolvedAndRequestsAreNotRecorded) {
  TrainConfig config;
  config.fresh = true;
  const TrainConfig back = read(to_toml(config));
  EXPECT_EQ(back.run_dir, "runs/convnet-fashion-mnist");
  EXPECT_FALSE(back.fresh);
  const std::string text = to_toml(config);
  const std::ptrdiff_t requests = 3;  // resume, fresh, yes
  EXPECT_EQ(std::count(text.begin(), text.end(), '='),
            static_cast<std::ptrdiff_t>(train_options().size()) - requests);
}

TEST(ConfigFile, WritesWholeFilesOnly) {
  const TemporaryFolder folder;
  write_config_file(folder.path() / "config.toml", TrainConfig());
  EXPECT_EQ(read_text(folder.path() / "config.toml"), to_toml(TrainConfig()));
  expect_refused<DataError>([&] { write_config_file(folder.path() / "no" / "config.toml", TrainConfig()); },
                            {"config.toml", "No such file"});
}

TEST(ConfigFile, RemarksAreCommentsOfOneLine) {
  const TemporaryFolder folder;
  const auto file = folder.path() / "config.toml";
  write_config_file(file, TrainConfig(), {"NCCL 2.28.9", "NCCL_DEBUG_FILE=a\nlr = 7"});
  EXPECT_EQ(read_text(file), to_toml(TrainConfig()) + "\n# NCCL 2.28.9\n# NCCL_DEBUG_FILE=a?lr = 7\n");
  TrainConfig back;
  read_config_file(file, back);
  EXPECT_EQ(back.lr, TrainConfig().lr);
}

TEST(ConfigFile, KeysTakeDashesAndUnderscoresAndIntegersServeAsNumbers) {
  const TrainConfig config = read("batch-size = 8\nmax_epochs = 3\nlr = 1\ncheckpoint-interval = 100\n");
  EXPECT_EQ(config.batch_size, 8);
  EXPECT_EQ(config.max_epochs, 3);
  EXPECT_EQ(config.lr, 1.0);
  EXPECT_EQ(config.checkpoint_interval, "100");
}

TEST(ConfigFile, RefusesNamingFileLineAndKey) {
  expect_refused([] { read("\nbach_size = 8\n"); }, {"c.toml:2", "bach_size", "batch-size"});
  expect_refused([] { read("[optimizer]\nname = 'sgd'\n"); }, {"c.toml:1", "optimizer"});
  expect_refused([] { read("lr = 0.1\nbatch-size = 0\n"); }, {"c.toml:2: batch-size", "\"0\"", "from 1"});
  expect_refused([] { read("batch-size = 8.5\n"); }, {"c.toml:1: batch-size", "8.5"});
  expect_refused([] { read("batch-size = '8'\n"); }, {"c.toml:1: batch-size"});
  expect_refused([] { read("lr = nan\n"); }, {"c.toml:1: lr", "above 0"});
  expect_refused([] { read("lr = '0.1'\n"); }, {"c.toml:1: lr"});
  expect_refused([] { read("fresh = 1\n"); }, {"c.toml:1: fresh", "true or false"});
  expect_refused([] { read("model = [\n'a',\n'b']\n"); }, {"c.toml:1: model"});
  expect_refused([] { read("batch-size = 1\nbatch_size = 2\n"); }, {"batch-size is given twice"});
}

TEST(ConfigFile, RefusesWhatIsNoToml) {
  expect_refused<DataError>([] { read("lr = \n"); }, {"c.toml:1"});
  expect_refused<DataError>([] { read("lr = 1\nlr = 2\n"); }, {"c.toml:2"});
  expect_refused<DataError>([] { read("\xff\xfe"); }, {"c.toml"});
  expect_refused<DataError>([] { read("lr = 1\ntimeout = \u03dc000.5\n"); }, {"c.toml:2"});
  expect_refused<DataError>([] { read("lr\u00e4 = 1\n"); }, {"c.toml:1"});
  expect_refused<DataError>([] { read("# " + std::string(1 << 20, 'x')); }, {"1 MiB"});
  expect_refused<DataError>([] { read("model = " + std::string(100000, '[')); }, {"c.toml"});
  TrainConfig config;
  expect_refused<DataError>([&] { read_config_file("/no/such.toml", config); }, {"/no/such.toml"});
  expect_refused<DataError>([&] { read_config_file("/tmp", config); }, {"/tmp"});
}

TEST(ConfigFile, AnEmptyFileChangesNothing) {
  EXPECT_EQ(read("").lr, TrainConfig().lr);
}

}  // namespace
}  // namespace lockstep

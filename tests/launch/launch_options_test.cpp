#include "launch/launch_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/trainer/config/refusal.h"

namespace lockstep {
namespace {

TEST(LaunchOptions, SplitsTheLaunchersFlagsFromTheRanks) {
  const TrainCommandLine line =
      parse_train_command({"--lr", "0.5", "--nproc_per_node", "4", "--fresh", "--hostfile=h", "--nnodes=2",
                           "--warm-heap", "off", "--dry-run"});
  EXPECT_EQ(line.launch.nproc_per_node, 4);
  EXPECT_EQ(line.launch.nnodes, 2);
  EXPECT_EQ(line.launch.hostfile, "h");
  EXPECT_EQ(line.launch.warm_heap, "off");
  EXPECT_TRUE(line.launch.dry_run);
  EXPECT_EQ(line.config.lr, 0.5);
  EXPECT_THAT(line.rank_arguments, testing::ElementsAre("--lr=0.5", "--fresh=true"));
}

TEST(LaunchOptions, OneRankOnThisMachineByDefault) {
  const TrainCommandLine line = parse_train_command({});
  EXPECT_EQ(line.launch.nproc_per_node, 1);
  EXPECT_TRUE(line.launch.hostfile.empty());
  EXPECT_TRUE(line.rank_arguments.empty());
}

TEST(LaunchOptions, BothPartsAreChecked) {
  expect_refused(
      [] {
        parse_train_command({"--nproc-per-node", "0"});
      },
      {"--nproc-per-node", "\"0\"", "from 1"});
  expect_refused([] { parse_train_command({"--nproc-per-node", "2x"}); }, {"--nproc-per-node", "\"2x\""});
  expect_refused([] { parse_train_command({"--nnodes=-1"}); }, {"--nnodes"});
  expect_refused([] { parse_train_command({"--warm-heap=yes"}); }, {"--warm-heap", "on, off"});
  expect_refused([] { parse_train_command({"--batch-size=0"}); }, {"--batch-size"});
  expect_refused([] { parse_train_command({"--host-file=f"}); }, {"--host-file", "--hostfile"});
  expect_refused([] { parse_train_command({"--nnodes=1", "--nnodes=1"}); }, {"--nnodes", "twice"});
}

TEST(LaunchOptions, Restarts) {
  const TrainCommandLine line =
      parse_train_command({"--max-restarts", "7", "--restart-delay=0.5", "--min-nproc", "2"});
  EXPECT_EQ(line.launch.max_restarts, 7);
  EXPECT_EQ(line.launch.restart_delay_s, 0.5);
  EXPECT_EQ(line.launch.min_nproc, 2);
  EXPECT_TRUE(line.rank_arguments.empty());  // all of it is the launcher's
  expect_refused([] { parse_train_command({"--max-restarts", "-1"}); }, {"--max-restarts", "\"-1\""});
  expect_refused([] { parse_train_command({"--restart-delay", "soon"}); }, {"--restart-delay", "\"soon\""});
  expect_refused([] { parse_train_command({"--min-nproc", "2"}); }, {"--min-nproc", "add --max-restarts"});
  expect_refused(
      [] {
        parse_train_command({"--min-nproc=2", "--max-restarts=1", "--sync-batchnorm"});
      },
      {"--min-nproc with --sync-batchnorm"});
  expect_refused(
      [] {
        parse_train_command({"--min-nproc=2", "--max-restarts=1", "--comm-hook=bf16"});
      },
      {"--min-nproc with --comm-hook"});
}

TEST(LaunchOptions, AdaptiveRanks) {
  const TrainCommandLine line = parse_train_command({"--adaptive-ranks", "loss<0.5:2,plateau(500,0.01):1"});
  EXPECT_EQ(line.config.adaptive_ranks, "loss<0.5:2,plateau(500,0.01):1");
  expect_refused([] { parse_train_command({"--adaptive-ranks=loss<0.5"}); },
                 {"--adaptive-ranks: \"loss<0.5\" is no rule"});
  expect_refused(
      [] {
        parse_train_command({"--adaptive-ranks=loss<0.5:1", "--min-nproc=2", "--max-restarts=1"});
      },
      {"--adaptive-ranks: 1 ranks are fewer than --min-nproc 2"});
  expect_refused(
      [] {
        parse_train_command({"--adaptive-ranks=loss<0.5:1", "--sync-batchnorm"});
      },
      {"--adaptive-ranks with --sync-batchnorm"});
}

TEST(LaunchOptions, NoticesAndDrift) {
  const TrainCommandLine line = parse_train_command(
      {"--notices", "aws", "--notices-url=http://127.0.0.1:1", "--check-drift-every-n-steps", "100"});
  EXPECT_EQ(line.config.notices, "aws");
  EXPECT_EQ(line.config.notices_url, "http://127.0.0.1:1");
  EXPECT_EQ(line.config.check_drift_every_n_steps, 100);
  EXPECT_EQ(parse_train_command({}).config.notices, "auto");
  expect_refused([] { parse_train_command({"--notices", "ibm"}); }, {"--notices", "\"ibm\"", "azure"});
  expect_refused(
      [] {
        parse_train_command({"--check-drift-every-n-steps", "-1"});
      },
      {"--check-drift-every-n-steps"});
}

}  // namespace
}  // namespace lockstep

#include "bench/scaling/study_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace lockstep {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

std::vector<std::string> names(const std::vector<StudyTask>& tasks) {
  std::vector<std::string> list;
  for (const StudyTask& task : tasks) list.push_back(task.name);
  return list;
}

const StudyTask& task(const std::vector<StudyTask>& tasks, const std::string& name) {
  return *std::find_if(tasks.begin(), tasks.end(), [&](const StudyTask& one) { return one.name == name; });
}

TEST(PlanStudy, EveryLinkAtEveryNumberOfRanksAfterOneRankAlone) {
  const auto tasks = plan_study(
      parse_scaling_command({"--ranks", "4,2", "--links", "shared-memory,1gbit", "--model", "mlp"}));
  EXPECT_THAT(names(tasks),
              ElementsAre("alone-mlp-512-batch-64", "replayed-mlp-512-batch-64", "all-reduce-shared-memory-2",
                          "step-shared-memory-2-mlp-512", "all-reduce-shared-memory-4",
                          "step-shared-memory-4-mlp-512", "all-reduce-1gbit-2", "step-1gbit-2-mlp-512",
                          "all-reduce-1gbit-4", "step-1gbit-4-mlp-512"));
  const StudyTask& lone = task(tasks, "replayed-mlp-512-batch-64");
  EXPECT_EQ(lone.profile, task(tasks, "alone-mlp-512-batch-64").profile);
  EXPECT_EQ(lone.title(), "mlp-512 replayed on one rank, batch 64");
  EXPECT_THAT(task(tasks, "step-1gbit-4-mlp-512").identity(), HasSubstr("--wire 1gbit --nnodes 4"));
  EXPECT_THAT(task(tasks, "step-1gbit-4-mlp-512").identity(), HasSubstr("--workload mlp-512"));
  EXPECT_THAT(task(tasks, "step-1gbit-4-mlp-512").identity(), HasSubstr("--warmup-rounds 0 --steps 10"));
  EXPECT_THAT(task(tasks, "step-shared-memory-4-mlp-512").identity(), HasSubstr("--nproc-per-node 4"));
  EXPECT_EQ(task(tasks, "step-1gbit-4-mlp-512").profile, task(tasks, "alone-mlp-512-batch-64").profile);
  // The raw stream tells what the wire attains; there is none in memory.
  EXPECT_THAT(task(tasks, "all-reduce-1gbit-2").arguments, Contains("tcp"));
  EXPECT_THAT(task(tasks, "all-reduce-shared-memory-2").arguments, Not(Contains("tcp")));
}

TEST(PlanStudy, StrongScalingSharesTheBatchOut) {
  const auto tasks = plan_study(parse_scaling_command(
      {"--ranks", "1,2,4", "--links", "shared-memory", "--model", "resnet18", "--mode", "strong"}));
  EXPECT_THAT(names(tasks), Contains("alone-resnet18-batch-16"));
  EXPECT_THAT(names(tasks), Contains("alone-resnet18-batch-8"));
  EXPECT_THAT(names(tasks), Contains("alone-resnet18-batch-4"));
  const StudyTask& four = task(tasks, "step-shared-memory-4-resnet18");
  EXPECT_EQ(four.batch_size, 4);
  EXPECT_THAT(four.identity(),
              HasSubstr("--model resnet18 --batch-size 4 --sample-sizes 3,64,64 --num-classes 1000"));
  EXPECT_EQ(four.profile, "profile-resnet18-batch-4.json");
  const auto tokens = plan_study(parse_scaling_command(
      {"--ranks", "2", "--links", "shared-memory", "--model", "gpt2-mini", "--mode", "strong"}));
  EXPECT_THAT(task(tokens, "step-shared-memory-2-gpt2-mini").identity(),
              HasSubstr("--model gpt2-mini --batch-size 2 --sequence-length 128 --vocab-size 4096"));
}

TEST(PlanStudy, PeersAreMeasuredWhereTheyAreAskedFor) {
  const auto with = plan_study(parse_scaling_command({"--compare", "pytorch", "--python", "/opt/python"}));
  EXPECT_THAT(names(with), Contains("peers-1gbit-2"));
  EXPECT_THAT(task(with, "replayed-resnet18-batch-16").identity(), Not(HasSubstr("pytorch")));
  EXPECT_THAT(task(with, "step-1gbit-2-resnet18").identity(),
              HasSubstr("--compare pytorch-ddp --python /opt/python"));
  const auto without = plan_study(parse_scaling_command({}));
  EXPECT_THAT(names(without), Not(Contains("peers-1gbit-2")));
  EXPECT_THAT(task(without, "step-1gbit-2-resnet18").identity(), Not(HasSubstr("pytorch")));
}

TEST(PlanStudy, OtherOptionsAreOtherMeasurements) {
  const auto some = plan_study(parse_scaling_command({"--rounds", "3"}));
  const auto more = plan_study(parse_scaling_command({"--rounds", "4"}));
  EXPECT_NE(task(some, "step-1gbit-2-resnet18").identity(), task(more, "step-1gbit-2-resnet18").identity());
  EXPECT_EQ(task(some, "all-reduce-1gbit-2").identity(), task(more, "all-reduce-1gbit-2").identity());
}

}  // namespace
}  // namespace lockstep

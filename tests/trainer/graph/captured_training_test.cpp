// Whole runs whose steps are recorded and replayed, on the CPU by running them again: everything around the
// recording (warm-up, static inputs, short batches, schedules, scale, votes, checkpoints) has to leave the
// bits alone.
#include <algorithm>
#include <array>
#include <cmath>

#include "tests/comm/rank_threads.h"
#include "tests/trainer/graph/repeating_recording.h"
#include "tests/trainer/graph/training_cases.h"
#include "trainer/start_up.h"

namespace lockstep {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using testing::RepeatingRecording;
using testing::Result;
using testing::Run;
using Counts = RepeatingRecording::Counts;

CommunicatorPtr alone() {
  return make_thread_communicators(1, std::chrono::seconds(20)).front();
}

class CapturedTraining : public ::testing::TestWithParam<testing::TrainingCase> {
 protected:
  static TrainConfig config() {
    TrainConfig config = GetParam().config;
    config.log_every_n_steps = 1;
    return config;
  }
};

TEST_P(CapturedTraining, HasTheBitsOfEagerSteps) {
  const TemporaryFolder eager_folder, captured_folder;
  const Result eager = testing::train({.config = config(), .communicator = alone()}, eager_folder.path());
  const auto counts = std::make_shared<Counts>();
  const Result captured = testing::train({.config = config(),
                                          .communicator = alone(),
                                          .recording = std::make_unique<RepeatingRecording>(counts)},
                                         captured_folder.path());
  EXPECT_EQ(counts->captures, 1);
  EXPECT_EQ(counts->replays, GetParam().replays);
  EXPECT_THAT(captured.events, Contains("captured"));
  EXPECT_THAT(eager.events, Not(Contains("captured")));
  testing::expect_same_bits(eager, captured);
}

INSTANTIATE_TEST_SUITE_P(Runs, CapturedTraining, ::testing::ValuesIn(testing::training_cases()),
                         [](const auto& info) { return info.param.name; });

// The scale falls and rises within the replays.
TEST(CapturedRun, OverflowsInReplaysAreReported) {
  const auto cases = testing::training_cases();
  const auto float16 = std::find_if(cases.begin(), cases.end(),
                                    [](const auto& one) { return one.name == "Float16WithOverflows"; });
  const TemporaryFolder folder;
  const Result captured =
      testing::train({.config = float16->config,
                      .communicator = alone(),
                      .recording = std::make_unique<RepeatingRecording>(std::make_shared<Counts>())},
                     folder.path());
  const auto first = std::find(captured.events.begin(), captured.events.end(), "captured");
  EXPECT_NE(std::find(first, captured.events.end(), "overflow"), captured.events.end());
}

TEST(CapturedRun, GoesOnFromACheckpoint) {
  TrainConfig config = testing::small_run();
  config.lr_schedule = "exponential";
  config.lr_gamma = 0.9;
  config.fused_optimizer = "on";
  const TemporaryFolder whole_folder, parts_folder;
  const Result whole = testing::train({.config = config, .communicator = alone()}, whole_folder.path());
  const auto counts = std::make_shared<Counts>();
  TrainConfig first = config;
  first.max_steps = 7;  // in the middle of an epoch
  for (const TrainConfig& part : {first, config}) {
    const Result parts = testing::train(
        {.config = part, .communicator = alone(), .recording = std::make_unique<RepeatingRecording>(counts)},
        parts_folder.path());
    if (part.max_steps < 0) {
      for (std::size_t i = 0; i < whole.model.size(); ++i)
        EXPECT_TRUE(at::equal(parts.model[i].second, whole.model[i].second)) << whole.model[i].first;
      EXPECT_TRUE(at::equal(parts.random_state, whole.random_state));
    }
  }
  EXPECT_EQ(counts->captures, 2) << "each attempt captures anew";
  EXPECT_EQ(counts->replays, 3 + 1) << "steps 4, 5 and 7; then, after 8 to 10, step 11";
}

// Two ranks with buffers that differ in a step: rank 0's count, whether the step is replayed or not.
TEST(CapturedRun, RanksAverageAsTheyDoEagerly) {
  std::array<Result, 2> eager, captured;
  std::array<std::shared_ptr<Counts>, 2> counts = {std::make_shared<Counts>(), std::make_shared<Counts>()};
  const TemporaryFolder eager_folder, captured_folder;
  const auto train = [](Communicator& comm, std::unique_ptr<StepRecording> recording,
                        const TemporaryFolder& folder) {
    TrainConfig config = testing::small_run();
    config.max_epochs = 3;
    config.gradient_clip_val = 1.0;
    config.check_drift_every_n_steps = 4;  // before step 5, which is done eagerly
    return testing::train({.config = config,
                           .communicator = {&comm, [](Communicator*) {}},
                           .dropout = 0.0,  // ranks that are threads draw from one generator
                           .recording = std::move(recording)},
                          folder.path());
  };
  testing::run_ranks(2, [&](Communicator& comm) {
    eager[static_cast<std::size_t>(comm.rank())] = train(comm, nullptr, eager_folder);
  });
  testing::run_ranks(2, [&](Communicator& comm) {
    const auto rank = static_cast<std::size_t>(comm.rank());
    captured[rank] = train(comm, std::make_unique<RepeatingRecording>(counts[rank]), captured_folder);
  });
  for (std::size_t rank = 0; rank < 2; ++rank) {
    EXPECT_EQ(counts[rank]->replays, 3) << "steps 4, 7 and 8";
    for (std::size_t i = 0; i < eager[rank].model.size(); ++i) {
      EXPECT_TRUE(at::equal(eager[rank].model[i].second, captured[rank].model[i].second))
          << "rank " << rank << ", " << eager[rank].model[i].first;
    }
  }
}

TEST(CapturedRun, WhatCannotBeCapturedIsDoneEagerlyAndSaid) {
  const TrainConfig config = testing::small_run();
  const TemporaryFolder eager_folder, captured_folder;
  const Result eager = testing::train({.config = config, .communicator = alone()}, eager_folder.path());
  const auto counts = std::make_shared<Counts>();
  const Result refused =
      testing::train({.config = config,
                      .communicator = alone(),
                      .recording = std::make_unique<RepeatingRecording>(counts, "operation not permitted")},
                     captured_folder.path());
  EXPECT_EQ(counts->captures, 1);
  EXPECT_EQ(counts->replays, 0);
  EXPECT_THAT(refused.events, Contains("not_captured"));
  testing::expect_same_bits(eager, refused);
}

TEST(CapturedRun, WhatCannotBeCapturedEndsARunThatInsists) {
  TrainConfig config = testing::small_run();
  config.cuda_graph = "on";
  const TemporaryFolder folder;
  try {
    testing::train({.config = config,
                    .communicator = alone(),
                    .recording = std::make_unique<RepeatingRecording>(
                        std::make_shared<Counts>(), "operation not permitted\n  a stack trace")},
                   folder.path());
    ADD_FAILURE() << "it went on";
  } catch (const AgreedStop& stop) {
    EXPECT_EQ(stop.code(), ExitCode::kUsage);
    EXPECT_THAT(stop.what(), AllOf(HasSubstr("--cuda-graph on"), HasSubstr("rank 0: operation not permitted"),
                                   Not(HasSubstr("\n"))));
  }
}

// Sample `bad` holds what is no number.
class OneBadSample final : public Dataset {
 public:
  OneBadSample(std::int64_t samples, std::int64_t bad)
      : inner_(7, Split::kTrain, samples, {1, 3, 4}, 5), bad_(bad) {}
  std::int64_t size() const override { return inner_.size(); }
  DatasetShape shape() const override { return inner_.shape(); }
  std::string description() const override { return "one bad sample"; }
  Batch get_batch(std::span<const std::int64_t> indices) const override {
    Batch batch = inner_.get_batch(indices);
    for (std::size_t i = 0; i < indices.size(); ++i) {
      if (indices[i] == bad_) batch.data[static_cast<std::int64_t>(i)].fill_(std::nan(""));
    }
    return batch;
  }

 private:
  SyntheticDataset inner_;
  std::int64_t bad_;
};

// The update is part of the replay, so the parameters are spoilt before the loss is seen; nothing of them is
// saved.
TEST(CapturedRun, ABadLossInAReplayEndsTheRunBeforeASave) {
  TrainConfig config = testing::small_run();
  config.fused_optimizer = "on";
  config.shuffle = false;
  config.checkpoint_interval = "2";
  const TemporaryFolder folder;
  const auto counts = std::make_shared<Counts>();
  try {
    testing::train({.config = config,
                    .communicator = alone(),
                    .recording = std::make_unique<RepeatingRecording>(counts),
                    .data = std::make_shared<OneBadSample>(16 * 10, 16 * 5 + 3)},
                   folder.path());
    ADD_FAILURE() << "it went on";
  } catch (const AgreedStop& stop) {
    EXPECT_EQ(stop.code(), ExitCode::kBadInput);
    EXPECT_THAT(stop.what(), HasSubstr("the loss is not finite at step 6"));
  }
  EXPECT_EQ(counts->replays, 3);
  EXPECT_EQ(RunDir(folder.path()).checkpoint_steps().front(), 4);
}

}  // namespace
}  // namespace lockstep

// Saving in the background: one at a time, tried again, told once.
#include "trainer/checkpoint/checkpoint_writer.h"

#include <ATen/core/Dict.h>
#include <ATen/core/jit_type.h>
#include <ATen/ops/full.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <thread>

#include "tests/temporary_folder.h"

namespace lockstep {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using State = CheckpointWriter::State;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr auto kLong = 20s;  // never waited for in full

Checkpoint checkpoint_of(std::int64_t step) {
  return {step,
          {{"weight", at::full({1000}, static_cast<double>(step))}},
          c10::impl::GenericDict(c10::AnyType::get(), c10::AnyType::get())};
}

class CheckpointWriterTest : public testing::Test {
 protected:
  void SetUp() override { run_dir_.create(); }
  // A file where the folder of checkpoints should be fails every save.
  void break_folder() { std::ofstream(run_dir_.checkpoints()) << "in the way"; }
  void mend_folder() { fs::remove(run_dir_.checkpoints()); }
  std::optional<Checkpoint> newest() {
    return CheckpointManager(run_dir_, 3, [](const std::string&) {}).load_newest();
  }

  TemporaryFolder folder_;
  RunDir run_dir_{folder_.path() / "run"};
};

TEST_F(CheckpointWriterTest, WritesWhileOthersGoOn) {
  CheckpointWriter writer(run_dir_, 3, {});
  EXPECT_EQ(writer.state(), State::kIdle);
  EXPECT_FALSE(writer.take_end());
  writer.start(checkpoint_of(7));
  ASSERT_TRUE(writer.wait_until_idle(kLong));
  const auto end = writer.take_end();
  ASSERT_TRUE(end);
  EXPECT_EQ(end->step, 7);
  EXPECT_EQ(end->failure, "");
  EXPECT_GT(end->write_time_s, 0.0);
  EXPECT_FALSE(writer.take_end()) << "told twice";
  EXPECT_THAT(writer.take_warnings(), IsEmpty());
  EXPECT_EQ(newest()->step, 7);
}

TEST_F(CheckpointWriterTest, OneAfterTheOther) {
  CheckpointWriter writer(run_dir_, 2, {});
  for (std::int64_t step = 1; step <= 5; ++step) {
    writer.start(checkpoint_of(step));
    ASSERT_TRUE(writer.hold(kLong));
  }
  EXPECT_THAT(run_dir_.checkpoint_steps(), ElementsAre(5, 4));
}

TEST_F(CheckpointWriterTest, NeverTwoAtOnce) {
  CheckpointWriter writer(run_dir_, 3, {});
  Checkpoint large = checkpoint_of(1);
  large.model[0].second = at::full({20'000'000}, 1.0);  // 80 MB take a while
  writer.start(large);
  EXPECT_EQ(writer.state(), State::kWriting);
  EXPECT_FALSE(writer.wait_until_idle(1ms));
  EXPECT_THROW(writer.start(checkpoint_of(2)), std::logic_error);
  ASSERT_TRUE(writer.wait_until_idle(kLong));
  EXPECT_EQ(newest()->step, 1);
}

TEST_F(CheckpointWriterTest, TriesAgainUntilItSucceeds) {
  CheckpointWriter writer(run_dir_, 3, {.most = 1000, .first_wait = 1ms});
  break_folder();
  writer.start(checkpoint_of(3));
  EXPECT_FALSE(writer.wait_until_idle(30ms));
  mend_folder();
  ASSERT_TRUE(writer.wait_until_idle(kLong));
  EXPECT_EQ(writer.take_end()->failure, "");
  EXPECT_EQ(newest()->step, 3);
  const auto warnings = writer.take_warnings();
  ASSERT_FALSE(warnings.empty());
  EXPECT_THAT(warnings[0], HasSubstr("the checkpoint of step 3 cannot be written: cannot make the folder"));
  EXPECT_THAT(warnings[0], HasSubstr("try 2 of 1001"));
}

TEST_F(CheckpointWriterTest, GivesUpAfterItsTriesAndLeavesTheOldOneAlone) {
  CheckpointWriter writer(run_dir_, 3, {.most = 2, .first_wait = 1ms});
  writer.start(checkpoint_of(1));
  ASSERT_TRUE(writer.wait_until_idle(kLong));
  EXPECT_EQ(writer.take_end()->failure, "");
  fs::rename(run_dir_.checkpoints(), run_dir_.root() / "kept");
  break_folder();
  writer.start(checkpoint_of(2));
  ASSERT_TRUE(writer.wait_until_idle(kLong));
  EXPECT_THAT(writer.take_end()->failure, HasSubstr("cannot make the folder"));
  EXPECT_EQ(writer.take_warnings().size(), 2U);
  mend_folder();
  fs::rename(run_dir_.root() / "kept", run_dir_.checkpoints());
  EXPECT_EQ(newest()->step, 1);
  writer.start(checkpoint_of(3));  // a new save begins with all its tries
  ASSERT_TRUE(writer.wait_until_idle(kLong));
  EXPECT_EQ(writer.take_end()->failure, "");
}

TEST_F(CheckpointWriterTest, ANewerCheckpointTakesTheFailingOnesPlace) {
  CheckpointWriter writer(run_dir_, 3, {.most = 5, .first_wait = 200ms});
  break_folder();
  writer.start(checkpoint_of(1));
  ASSERT_TRUE(writer.hold(kLong));
  EXPECT_EQ(writer.state(), State::kWaiting);
  mend_folder();
  writer.start(checkpoint_of(2));
  ASSERT_TRUE(writer.wait_until_idle(kLong));
  const auto end = writer.take_end();
  EXPECT_EQ(end->step, 2);
  EXPECT_EQ(end->failure, "");
  EXPECT_THAT(run_dir_.checkpoint_steps(), ElementsAre(2));
}

TEST_F(CheckpointWriterTest, NoTryBeginsWhileTheSnapshotChanges) {
  CheckpointWriter writer(run_dir_, 3, {.most = 1000, .first_wait = 1ms});
  break_folder();
  const Checkpoint checkpoint = checkpoint_of(1);
  writer.start(checkpoint);
  ASSERT_TRUE(writer.hold(kLong));
  mend_folder();
  std::this_thread::sleep_for(50ms);
  EXPECT_EQ(writer.state(), State::kWaiting);
  EXPECT_FALSE(newest());
  ASSERT_TRUE(writer.wait_until_idle(kLong));  // the end of the run, say
  EXPECT_EQ(newest()->step, 1);
}

TEST_F(CheckpointWriterTest, DoesNotMakeARunFolderThatHasVanished) {
  CheckpointWriter writer(run_dir_, 3, {.most = 0, .first_wait = 1ms});
  fs::remove_all(run_dir_.root());
  writer.start(checkpoint_of(1));
  ASSERT_TRUE(writer.wait_until_idle(kLong));
  EXPECT_THAT(writer.take_end()->failure, HasSubstr("has vanished"));
  EXPECT_FALSE(fs::exists(run_dir_.root()));
}

TEST_F(CheckpointWriterTest, EndsWithTheSaveUnderWayComplete) {
  {
    CheckpointWriter writer(run_dir_, 3, {});
    writer.start(checkpoint_of(9));
  }
  EXPECT_EQ(newest()->step, 9);
}

TEST_F(CheckpointWriterTest, DoesNotEndInAWaitForTheNextTry) {
  const auto begin = std::chrono::steady_clock::now();
  {
    CheckpointWriter writer(run_dir_, 3, {.most = 5, .first_wait = 1h});
    break_folder();
    writer.start(checkpoint_of(9));
    ASSERT_TRUE(writer.hold(kLong));
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begin, kLong);
}

}  // namespace
}  // namespace lockstep

#include "trainer/bill/measured_run.h"

#include <gtest/gtest.h>

#include "tests/temporary_folder.h"
#include "trainer/bill/budget_gate.h"
#include "trainer/bill/team_ledger.h"
#include "trainer/config/config_file.h"
#include "trainer/cost/launch_moment.h"
#include "trainer/cost/ledger.h"
#include "trainer/run_dir/run_dir.h"

namespace lockstep {
namespace {

class MeasuredRunTest : public ::testing::Test {
 protected:
  MeasuredRunTest() {
    config_.price_per_gpu_hour = 1800.0;  // a dollar a second for two
    config_.batch_size = 10;
    config_.max_epochs = 4;
    measured_ = config_;
    measured_.device = "cpu";  // as resolved
    measured_.num_threads = 1;
    measured_.budget = 7.0;  // decides nothing
  }
  // 100 steps in 20 s, of 1000 samples on two ranks: 50 steps an epoch.
  void write(const std::filesystem::path& folder) {
    const RunDir run_dir(folder);
    std::filesystem::create_directories(folder);
    write_config_file(run_dir.config_file(), measured_);
    LedgerRecord record;
    record.gpus = 2;
    record.step = 100;
    record.parts[RunPart::kStartUp] = 5.0;
    record.parts[RunPart::kCompute] = 17.0;
    record.parts[RunPart::kData] = 1.0;
    record.parts[RunPart::kExposedCommunication] = 2.0;
    write_text(run_dir.ledger_file(), to_line(record) + "\n");
    write_text(
        run_dir.metrics_file(),
        R"({"kind":"start","attempt":1,"world_size":2,"logical_world_size":2,"train_samples":1000,"max_epochs":2,"max_steps":-1})"
        "\n"
        R"({"kind":"eval","attempt":1,"step":50,"eval_time_s":1.0})"
        "\n"
        R"({"kind":"eval","attempt":1,"step":100,"eval_time_s":2.0})"
        "\n"
        R"({"kind":"event","attempt":1,"event":"checkpoint","step":100,"save_time_s":0.5})"
        "\n"
        R"({"kind":"end","attempt":1,"reason":"finished","step":100})"
        "\n");
  }
  std::optional<MeasuredRun> measure(int gpus = 2) { return measured_run(folder_.path(), config_, gpus); }

  TemporaryFolder folder_;
  TrainConfig config_;
  TrainConfig measured_;
};

TEST_F(MeasuredRunTest, ReckonsWithStepsEvaluationsSavesAndTheStart) {
  write(folder_.path());
  const auto run = measure();
  ASSERT_TRUE(run.has_value());
  EXPECT_EQ(run->steps, 100);
  EXPECT_NEAR(run->step_s, 0.2, 1e-12);
  EXPECT_EQ(run->steps_per_epoch, 50);
  // Four epochs: 200 steps, four evaluations of 1.5 s, four saves of half a second.
  EXPECT_NEAR(run->remaining_s(config_, 0), 5.0 + 40.0 + 8.0, 1e-9);
  EXPECT_NEAR(run->remaining_s(config_, 100), 5.0 + 20.0 + 4.0, 1e-9);
  EXPECT_EQ(run->remaining_s(config_, 200), 0.0);
  config_.max_steps = 60;
  EXPECT_NEAR(run->remaining_s(config_, 0), 5.0 + 12.0 + 4.0, 1e-9);
}

TEST_F(MeasuredRunTest, OtherOptionsSayNothing) {
  EXPECT_FALSE(measure().has_value());  // there is no run
  write(folder_.path());
  EXPECT_FALSE(measure(4).has_value());
  config_.seed = 7;  // takes no time
  EXPECT_TRUE(measure().has_value());
  const TrainConfig same = config_;
  config_.batch_size = 20;
  EXPECT_FALSE(measure().has_value());
  config_ = same;
  config_.device = "cuda";
  EXPECT_FALSE(measure().has_value());
  config_ = same;
  config_.model = "mlp";
  EXPECT_FALSE(measure().has_value());
  config_ = same;
  write_text(folder_.path() / "config.toml", "no such thing");
  EXPECT_FALSE(measure().has_value());
}

TEST_F(MeasuredRunTest, AFreshRunIsRefusedBeforeItsFirstStep) {
  write(folder_.path());
  config_.fresh = true;
  config_.budget = 70.0;  // the mark is $56; 53 s cost $53
  EXPECT_FALSE(refuse_to_start(config_, folder_.path(), 2).has_value());
  config_.budget = 66.0;
  const auto refusal = refuse_to_start(config_, folder_.path(), 2);
  ASSERT_TRUE(refusal.has_value());
  EXPECT_TRUE(refusal->may_go_on);
  EXPECT_EQ(refusal->reason,
            "the run will cost $53.00, going by the 100 steps of " + folder_.path().string() +
                " (200 ms each), above the budget of $66.00 (mark: $52.80); raise --budget, or go on up to "
                "the mark with --yes");
  config_.yes = true;
  EXPECT_FALSE(refuse_to_start(config_, folder_.path(), 2).has_value());
}

TEST_F(MeasuredRunTest, ATeamsRunsSpeakForANewOne) {
  const auto team = folder_.path() / "team.jsonl";
  write(folder_.path() / "theirs");
  TeamLedger(team, (folder_.path() / "theirs").string(), 1, "USD").exchange(1.0, unix_seconds());
  config_.budget = 60.0;
  EXPECT_FALSE(refuse_to_start(config_, folder_.path() / "ours", 2).has_value());
  config_.budget_ledger = team.string();
  const auto refusal = refuse_to_start(config_, folder_.path() / "ours", 2);
  ASSERT_TRUE(refusal.has_value());
  EXPECT_NE(refusal->reason.find("the run will cost $54.00"), std::string::npos) << refusal->reason;
  EXPECT_NE(refusal->reason.find("theirs"), std::string::npos) << refusal->reason;
}

TEST_F(MeasuredRunTest, TheUsersWordCountsWhereNothingWasMeasured) {
  config_.budget = 9000.0;  // the mark is two hours' $7200
  config_.expected_hours = 1.99;
  EXPECT_FALSE(refuse_to_start(config_, folder_.path(), 2).has_value());
  config_.expected_hours = 2.01;
  const auto refusal = refuse_to_start(config_, folder_.path(), 2);
  ASSERT_TRUE(refusal.has_value());
  EXPECT_NE(refusal->reason.find("the run will cost $7,236.00, going by --expected-hours"), std::string::npos)
      << refusal->reason;
  write(folder_.path());  // has measured it
  EXPECT_FALSE(refuse_to_start(config_, folder_.path(), 2).has_value());
}

}  // namespace
}  // namespace lockstep

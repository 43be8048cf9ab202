#include "trainer/report/run_record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "sampler/data_error.h"
#include "tests/temporary_folder.h"
#include "tests/trainer/report/run_lines.h"

namespace lockstep {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using namespace lockstep::testing;

class RunRecordTest : public ::testing::Test {
 protected:
  void add(const nlohmann::ordered_json& line) { text_ += line.dump() + "\n"; }
  RunRecord read() {
    write_text(folder_.path() / "metrics.jsonl", text_);
    return read_run(folder_.path());
  }
  static std::map<std::string, TimePart> by_name(const RunRecord& run) {
    std::map<std::string, TimePart> parts;
    for (const TimePart& part : run.parts) parts[part.name] = part;
    return parts;
  }
  TemporaryFolder folder_;
  std::string text_;
};

TEST_F(RunRecordTest, PartsAddUpToTheRunningTimeAndItsPrice) {
  add(start_line(1, 1000, 0));
  add(train_line(1, 1002, 10, 10, 1.5));
  add(train_line(1, 1003, 20, 10, 2.5));
  add({{"kind", "eval"},
       {"attempt", 1},
       {"time_unix_s", 1004},
       {"epoch", 0},
       {"step", 20},
       {"loss", 0.5},
       {"accuracy", 0.75},
       {"eval_time_s", 0.4},
       {"elapsed_s", 3.0}});
  add(event_line(1, 1004, "checkpoint", 20, 3.5, {{"save_time_s", 0.3}}));
  add(end_line(1, 1004, "finished", 23, 3.6));  // three steps after the last that was logged
  const RunRecord run = read();
  EXPECT_EQ(run.attempts.at(0).last_step, 23);
  const auto parts = by_name(run);
  EXPECT_NEAR(parts.at("data").seconds, 0.2, 1e-12);
  EXPECT_NEAR(parts.at("backward").seconds, 0.6, 1e-12);
  EXPECT_NEAR(parts.at("exposed_communication").seconds, 0.4, 1e-12);
  EXPECT_NEAR(parts.at("evaluation").seconds, 0.4, 1e-12);
  EXPECT_NEAR(parts.at("checkpoint").seconds, 0.3, 1e-12);
  EXPECT_EQ(parts.at("rework").seconds, 0.0);
  EXPECT_NEAR(parts.at("between_steps").seconds, 3.6 - 2.0 - 0.4 - 0.3, 1e-12);
  double seconds = 0.0, money = 0.0;
  for (const TimePart& part : run.parts) {
    seconds += part.seconds;
    money += part.money;
  }
  EXPECT_NEAR(seconds, 3.6, 1e-12);
  EXPECT_NEAR(money, 1.5 * 2 * 3.6 / 3600, 1e-12);  // price x GPUs x hours
  EXPECT_EQ(run.currency, "USD");
  ASSERT_EQ(run.evaluations.size(), 1u);
  EXPECT_EQ(run.evaluations[0].accuracy, 0.75);
  EXPECT_EQ(run.attempts.at(0).end_reason, "finished");
  EXPECT_TRUE(run.damaged.empty());
}

// Killed after step 30 with a checkpoint at 15: steps 16 to 30 are rework, and the second attempt's hold.
TEST_F(RunRecordTest, WhatALaterAttemptTookBackIsRework) {
  add(start_line(1, 1000, 0));
  for (int step = 10; step <= 30; step += 10) add(train_line(1, 1000 + step, step, 10, 0.1 * step));
  add(start_line(2, 2000, 15));
  add(event_line(2, 2000, "resume", 15, 0.0));
  add(train_line(2, 2001, 20, 5, 0.6, {{"loss", 42.0}}));
  add(end_line(2, 2001, "paused", 20, 0.7));
  const RunRecord run = read();
  std::vector<std::int64_t> steps;
  std::vector<double> running_s;
  for (const TrainPoint& point : run.train) {
    steps.push_back(point.step);
    running_s.push_back(point.running_s);
  }
  EXPECT_THAT(steps, ElementsAre(10, 20));
  EXPECT_EQ(run.train[1].loss, 42.0);
  EXPECT_NEAR(running_s[1], 3.0 + 0.6, 1e-12);  // the second attempt began after 3 s of running
  const auto parts = by_name(run);
  EXPECT_NEAR(parts.at("rework").seconds, 1.5, 1e-12);   // 15 steps of 0.1 s
  EXPECT_NEAR(parts.at("forward").seconds, 0.4, 1e-12);  // 20 steps of 0.02 s
  ASSERT_EQ(run.attempts.size(), 2u);
  EXPECT_EQ(run.attempts[0].end_reason, "");
  EXPECT_EQ(run.attempts[1].end_reason, "paused");
  EXPECT_NEAR(run.events.at(0).running_s, 3.0, 1e-12);
}

TEST_F(RunRecordTest, DamagedLinesAreNamedAndPassedOver) {
  add(start_line(1, 1000, 0));
  text_ += "{\"kind\":\"train\",\"att\n";
  add(train_line(1, 1001, 10, 10, 1.0));
  add(train_line(1, 1001, 20, 10, 2.0, {{"loss", "low"}}));
  add(train_line(7, 1001, 20, 10, 2.0));
  text_ += "[1,2]\n";
  text_ += std::string(2 << 20, 'x') + "\n";
  add({{"kind", "of a later version"}, {"attempt", 1}, {"time_unix_s", 1002}});
  text_ += "{\"kind\":\"train\"";
  const RunRecord run = read();
  EXPECT_EQ(run.train.size(), 1u);
  EXPECT_THAT(run.damaged,
              ElementsAre(HasSubstr("line 2: no JSON object"), HasSubstr("line 4: loss is no number"),
                          HasSubstr("line 5: attempt 7 has not started"), HasSubstr("line 6: no JSON object"),
                          HasSubstr("line 7: longer than 1 MiB"), HasSubstr("line 9: cut off")));
}

TEST_F(RunRecordTest, ALossThatIsNoneIsAGap) {
  add(start_line(1, 1000, 0, {{"price_per_gpu_hour", nullptr}}));
  add(train_line(1, 1001, 10, 10, 1.0, {{"loss", nullptr}, {"loss_text", "nan"}, {"spend", nullptr}}));
  const RunRecord run = read();
  ASSERT_EQ(run.train.size(), 1u);
  EXPECT_TRUE(std::isnan(run.train[0].loss));
  EXPECT_TRUE(std::isnan(run.parts[0].money));
  EXPECT_EQ(run.currency, "");
}

// Two currencies are not added up.
TEST_F(RunRecordTest, NoMoneyInTwoCurrencies) {
  add(start_line(1, 1000, 0));
  add(start_line(2, 2000, 0, {{"currency", "EUR"}}));
  EXPECT_EQ(read().currency, "");
}

TEST_F(RunRecordTest, OptionsStandInConfigToml) {
  add(start_line(1, 1000, 0));
  write_text(folder_.path() / "config.toml", "# Every option\n\nmodel = 'mlp'\nlr = 0.1\n");
  EXPECT_THAT(read().options, ElementsAre(std::pair<std::string, std::string>{"model", "'mlp'"},
                                          std::pair<std::string, std::string>{"lr", "0.1"}));
}

TEST_F(RunRecordTest, AFolderWithoutARunIsRefused) {
  EXPECT_THROW(read_run(folder_.path()), DataError);
  text_ = "nonsense\n";
  try {
    read();
    ADD_FAILURE() << "no error";
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), HasSubstr("holds no attempt's start"));
  }
}

}  // namespace
}  // namespace lockstep

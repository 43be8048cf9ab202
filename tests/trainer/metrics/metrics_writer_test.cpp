#include "trainer/metrics/metrics_writer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/temporary_folder.h"
#include "trainer/metrics/metrics_history.h"

namespace lockstep {
namespace {

using nlohmann::json;

class MetricsWriterTest : public ::testing::Test {
 protected:
  MetricsWriter writer(int attempt = 1) {
    return MetricsWriter(file_, attempt, [this](const std::string& line) { warnings_.push_back(line); });
  }
  std::vector<json> lines() {
    std::vector<json> parsed;
    std::istringstream text(read_text(file_));
    for (std::string line; std::getline(text, line);) parsed.push_back(json::parse(line));
    return parsed;
  }
  TemporaryFolder folder_;
  const std::filesystem::path file_ = folder_.path() / "metrics.jsonl";
  std::vector<std::string> warnings_;
};

TEST_F(MetricsWriterTest, WritesAStart) {
  StartRecord start;
  start.world_size = 2;
  start.logical_world_size = 8;
  start.device = "cpu";
  start.backend = "mpi";
  start.model = "mlp";
  start.num_parameters = 669706;
  start.lr = 0.1;
  start.seed = std::numeric_limits<std::uint64_t>::max();
  start.price = {1.5, "USD"};
  start.price_source = "a list";
  start.gpu_type = "A100";
  start.budget = 300.0;
  start.versions = {{"lockstep", "0.1.0"}, {"torch", "2.11.0"}};
  start.nccl_environment = {{"NCCL_DEBUG", "WARN"}};
  writer(4).write(start);
  const json line = lines().at(0);
  EXPECT_EQ(line["kind"], "start");
  EXPECT_EQ(line["attempt"], 4);
  EXPECT_GT(line["time_unix_s"].get<double>(), 1.6e9);
  EXPECT_EQ(line["world_size"], 2);
  EXPECT_EQ(line["logical_world_size"], 8);
  EXPECT_EQ(line["device"], "cpu");
  EXPECT_EQ(line["backend"], "mpi");
  EXPECT_EQ(line["model"], "mlp");
  EXPECT_EQ(line["num_parameters"], 669706);
  EXPECT_EQ(line["lr"], 0.1);
  EXPECT_EQ(line["seed"].get<std::uint64_t>(), std::numeric_limits<std::uint64_t>::max());
  EXPECT_EQ(line["max_steps"], -1);
  EXPECT_EQ(line["price_per_gpu_hour"], 1.5);
  EXPECT_EQ(line["price_source"], "a list");
  EXPECT_FALSE(line.contains("price_date"));
  EXPECT_EQ(line["gpu_type"], "A100");
  EXPECT_EQ(line["budget"], 300.0);
  EXPECT_EQ(line["versions"]["torch"], "2.11.0");
  EXPECT_EQ(line["nccl_environment"]["NCCL_DEBUG"], "WARN");
}

TEST_F(MetricsWriterTest, WritesATrainLineWhosePartsAddUp) {
  TrainRecord train;
  train.epoch = 1;
  train.step = 150;
  train.samples_seen = 19200;
  train.loss = 0.1 + 0.2;  // has no short decimal: 0.30000000000000004
  train.lr = 0.01;
  train.samples_per_s = 12800.0;
  train.times = {.steps = 50,
                 .parts_ns = {1'000'000, 30'000'000, 40'000'000, 5'000'000, 20'000'000, 4'000'000}};
  train.bytes_sent = 123456789012;
  train.elapsed_s = 3.25;
  train.rework_steps = 3;
  train.costs.spend = {.gpu_hours = 0.5, .amount = 0.75, .currency = "USD"};
  train.costs.per_epoch = 0.375;
  train.costs.per_million = 39.0625;
  train.costs.remaining_s = 6.5;
  train.costs.to_finish = Spend{.gpu_hours = 1.0, .amount = 1.5, .currency = "USD"};
  train.costs.budget_share = 0.25;
  writer().write(train);
  const json line = lines().at(0);
  EXPECT_EQ(line["kind"], "train");
  EXPECT_EQ(line["loss"].get<double>(), 0.1 + 0.2);
  EXPECT_EQ(line["steps"], 50);
  EXPECT_DOUBLE_EQ(line["step_time_s"].get<double>(), 0.002);
  EXPECT_DOUBLE_EQ(line["backward_s"].get<double>(), 0.0008);
  EXPECT_DOUBLE_EQ(line["exposed_communication_s"].get<double>(), 0.0001);
  double sum = 0.0;
  for (const char* part : {"data", "forward", "backward", "exposed_communication", "optimizer", "other"}) {
    sum += line[std::string(part) + "_s"].get<double>();
  }
  EXPECT_NEAR(sum, 0.002, 1e-15);
  EXPECT_EQ(line["bytes_sent"], 123456789012);
  EXPECT_EQ(line["spend"], 0.75);
  EXPECT_EQ(line["spend_per_epoch"], 0.375);
  EXPECT_EQ(line["spend_per_million_samples"], 39.0625);
  EXPECT_EQ(line["remaining_s"], 6.5);
  EXPECT_EQ(line["spend_to_finish"], 1.5);
  EXPECT_EQ(line["budget_share"], 0.25);
  EXPECT_EQ(line["rework_steps"], 3);
  EXPECT_EQ(line["currency"], "USD");
  EXPECT_EQ(line["gpu_hours"], 0.5);
  EXPECT_FALSE(line.contains("grad_norm"));
  EXPECT_FALSE(line.contains("loss_text"));
  EXPECT_FALSE(line.contains("peak_device_allocated_bytes"));
}

TEST_F(MetricsWriterTest, WritesTheGpusMemoryWhereThereIsOne) {
  MetricsWriter metrics = writer();
  const PeakDeviceMemory peak{.allocated_bytes = 3.0e9, .reserved_bytes = 4.0e9};
  TrainRecord train;
  train.peak_device = peak;
  metrics.write(train);
  EndRecord end;
  end.peak_device = peak;
  metrics.write(end);
  for (const json& line : lines()) {
    EXPECT_EQ(line["peak_device_allocated_bytes"], 3.0e9);
    EXPECT_EQ(line["peak_device_reserved_bytes"], 4.0e9);
  }
}

TEST_F(MetricsWriterTest, RoundTripsEveryLoss) {
  MetricsWriter metrics = writer();
  TrainRecord train;
  const std::vector<double> losses = {
      0.0, -0.0, 1.0 / 3.0, 1e-310, 5e-324, 1.7976931348623157e308, 0.2f, 2.3025850929940455};
  for (const double loss : losses) {
    train.loss = loss;
    metrics.write(train);
  }
  for (std::size_t i = 0; i < losses.size(); ++i) {
    const double read = lines()[i]["loss"].get<double>();
    EXPECT_EQ(read, losses[i]);
    EXPECT_EQ(std::signbit(read), std::signbit(losses[i]));
  }
}

TEST_F(MetricsWriterTest, WritesWhatIsNotFiniteAsNullWithItsName) {
  MetricsWriter metrics = writer();
  TrainRecord train;
  train.grad_norm = INFINITY;
  for (const double loss :
       {std::nan(""), std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity()}) {
    train.loss = loss;
    metrics.write(train);
  }
  const auto written = lines();
  const char* const texts[] = {"nan", "inf", "-inf"};
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_TRUE(written[i]["loss"].is_null());
    EXPECT_EQ(written[i]["loss_text"], texts[i]);
    EXPECT_TRUE(written[i]["grad_norm"].is_null());
    EXPECT_EQ(written[i]["grad_norm_text"], "inf");
    EXPECT_TRUE(written[i]["spend"].is_null());  // no price
  }
}

TEST_F(MetricsWriterTest, WritesEvaluationsEventsAndTheEnd) {
  MetricsWriter metrics = writer();
  metrics.write(EvalRecord{.epoch = 2,
                           .step = 938,
                           .loss = 0.3,
                           .accuracy = 0.8912,
                           .samples = 10000,
                           .eval_time_s = 1.5,
                           .elapsed_s = 60.0});
  metrics.write(EventRecord{
      .event = "checkpoint", .step = 938, .save_time_s = 0.25, .write_time_s = 1.5, .elapsed_s = 61.0});
  metrics.write(EventRecord{.event = "resume", .step = 938, .read_time_s = 0.75, .elapsed_s = 61.5});
  metrics.write(EventRecord{.event = "stop", .step = 940, .detail = "a\nb\xff", .elapsed_s = 62.0});
  EndRecord end;
  end.reason = "finished";
  end.test_accuracy = 0.8912;
  metrics.write(end);
  const auto written = lines();
  ASSERT_EQ(written.size(), 5u);
  EXPECT_EQ(written[0]["kind"], "eval");
  EXPECT_EQ(written[0]["accuracy"], 0.8912);
  EXPECT_EQ(written[0]["samples"], 10000);
  EXPECT_EQ(written[0]["eval_time_s"], 1.5);
  EXPECT_EQ(written[1]["kind"], "event");
  EXPECT_EQ(written[1]["event"], "checkpoint");
  EXPECT_EQ(written[1]["save_time_s"], 0.25);
  EXPECT_EQ(written[1]["write_time_s"], 1.5);
  EXPECT_FALSE(written[1].contains("detail"));
  EXPECT_FALSE(written[1].contains("read_time_s"));
  EXPECT_EQ(written[2]["read_time_s"], 0.75);
  EXPECT_FALSE(written[3].contains("save_time_s"));
  EXPECT_EQ(written[3]["detail"], "a\nb\xef\xbf\xbd");
  EXPECT_EQ(written[4]["kind"], "end");
  EXPECT_EQ(written[4]["reason"], "finished");
  EXPECT_EQ(written[4]["exit_code"], 0);
  EXPECT_EQ(written[4]["test_accuracy"], 0.8912);
  EXPECT_FALSE(written[4].contains("train_loss"));
  EXPECT_FALSE(written[4].contains("peak_device_reserved_bytes"));
}

TEST_F(MetricsWriterTest, CountsAttemptsAndRepairsATornLine) {
  EXPECT_EQ(read_metrics_history(file_).last_attempt, 0);
  writer(1).write(StartRecord{});
  EXPECT_EQ(read_metrics_history(file_).last_attempt, 1);
  writer(2).write(StartRecord{});
  writer(2).write(TrainRecord{});
  EXPECT_EQ(read_metrics_history(file_).last_attempt, 2);

  const std::string whole = read_text(file_);
  // A torn start of attempt 3 does not count, and is cut off before attempt 3 writes again.
  write_text(file_, whole + R"({"kind":"start","attempt":3,"time)");
  EXPECT_EQ(read_metrics_history(file_).last_attempt, 2);
  writer(3).write(StartRecord{});
  EXPECT_EQ(read_text(file_).rfind(whole, 0), 0u);
  EXPECT_EQ(lines().size(), 4u);
  EXPECT_EQ(read_metrics_history(file_).last_attempt, 3);
}

TEST_F(MetricsWriterTest, PassesOverLinesThatCannotBe) {
  write_text(file_,
             "garbage\n"
             "{\"kind\":\"start\",\"attempt\":7}\n"
             "{\"kind\":\"start\",\"attempt\":\"9\"}\n"
             "{\"kind\":\"start\",\"attempt\":-9}\n"
             "{\"kind\":\"start\",\"attempt\":99999999999999999999999}\n"
             "{\"kind\":\"start\",\"attempt\":9999999999}\n"
             "{\"kind\":\"start\",broken\n"
             "{\"kind\":\"train\",\"attempt\":8}\n\n");
  EXPECT_EQ(read_metrics_history(file_).last_attempt, 7);
}

TEST_F(MetricsWriterTest, TellsTheNextAttemptWhatItNeeds) {
  StartRecord start;
  start.world_size = 4;
  start.max_epochs = 7;
  writer(1).write(start);
  TrainRecord train;
  train.step = 90;
  train.costs.remaining_s = 12.5;
  writer(1).write(train);
  MetricsHistory history = read_metrics_history(file_);
  EXPECT_EQ(history.last_step, 90);
  EXPECT_EQ(history.world_size, 4);
  EXPECT_EQ(history.max_epochs, 7);
  EXPECT_EQ(history.max_steps, -1);
  EXPECT_DOUBLE_EQ(history.remaining_s.value(), 12.5);
  EXPECT_FALSE(history.ended_finished);
  EndRecord end;
  end.reason = "finished";
  end.step = 100;
  writer(1).write(end);
  history = read_metrics_history(file_);
  EXPECT_EQ(history.last_step, 100);
  EXPECT_TRUE(history.ended_finished);
  // An attempt that goes on has measured nothing yet.
  start.step = 95;
  writer(2).write(start);
  history = read_metrics_history(file_);
  EXPECT_EQ(history.last_step, 100);
  EXPECT_FALSE(history.ended_finished);
  EXPECT_FALSE(history.remaining_s.has_value());
}

TEST_F(MetricsWriterTest, TellsOfTheLastCheckpoint) {
  EXPECT_EQ(last_metrics_checkpoint(file_), std::nullopt);
  MetricsWriter metrics = writer();
  metrics.write(EventRecord{.event = "first_step", .step = 1, .since_launch_s = 0.5, .elapsed_s = 1.0});
  EXPECT_EQ(last_metrics_checkpoint(file_), std::nullopt);
  for (const std::int64_t step : {20, 10}) {
    metrics.write(EventRecord{
        .event = "checkpoint", .step = step, .save_time_s = 0.1, .write_time_s = 0.2, .elapsed_s = 1.0});
  }
  EXPECT_EQ(last_metrics_checkpoint(file_), 20);
  write_text(file_, read_text(file_) +
                        "{\"kind\":\"event\",\"event\":\"checkpoint\",\"step\":-5}\n"
                        "{\"kind\":\"event\",\"event\":\"checkpoint\"}\n"
                        "{\"kind\":\"train\",\"event\":\"checkpoint\",\"step\":70}\n"
                        "{\"kind\":\"event\",\"event\":\"checkpoint\",\"step\":90}");
  EXPECT_EQ(last_metrics_checkpoint(file_), 20);
}

TEST_F(MetricsWriterTest, WarnsOnceAndGoesOnWhereItCannotWrite) {
  const std::filesystem::path missing = folder_.path() / "later";
  MetricsWriter metrics(missing / "metrics.jsonl", 1,
                        [this](const std::string& line) { warnings_.push_back(line); });
  metrics.write(StartRecord{});
  metrics.write(TrainRecord{});
  ASSERT_EQ(warnings_.size(), 1u);
  EXPECT_NE(warnings_[0].find("metrics.jsonl"), std::string::npos);
  EXPECT_EQ(warnings_[0].find('\n'), std::string::npos);
  std::filesystem::create_directory(missing);
  metrics.write(TrainRecord{});
  EXPECT_EQ(warnings_.size(), 1u);
  EXPECT_EQ(json::parse(read_text(missing / "metrics.jsonl"))["kind"], "train");
}

}  // namespace
}  // namespace lockstep

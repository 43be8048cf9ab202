#include "trainer/metrics/summary.h"

#include <gtest/gtest.h>

#include <sstream>

namespace lockstep {
namespace {

RunSummary summary() {
  RunSummary value;
  value.model = "convnet";
  value.num_parameters = 421642;
  value.data = "fashion-mnist train (60000 samples)";
  value.world_size = 2;
  value.logical_world_size = 2;
  value.device = "cpu";
  value.backend = "mpi";
  value.precision = "32-true";
  value.epochs = 5;
  value.max_epochs = 5;
  value.steps = 2345;
  value.elapsed_s = 92.0;
  value.samples_per_s = 3260.4;
  value.times = {.steps = 100,
                 .parts_ns = {20'000'000, 600'000'000, 1'000'000'000, 100'000'000, 270'000'000, 10'000'000}};
  value.train_loss = 0.23456;
  value.test_loss = 0.28114;
  value.test_accuracy = 0.9012;
  value.checkpoint = "runs/convnet-fashion-mnist/checkpoints/step_00002345";
  value.parts[RunPart::kStartUp] = 8.0;
  value.parts[RunPart::kCompute] = 80.0;
  value.parts[RunPart::kExposedCommunication] = 12.0;
  value.costs.spend = {.gpu_hours = 0.0511, .amount = 0.07667, .currency = "USD"};
  value.per_epoch = Spend{.gpu_hours = 0.01022, .amount = 0.015334, .currency = "USD"};
  return value;
}

TEST(FormatSummary, IsATable) {
  const std::string rule(80, '-');
  EXPECT_EQ(format_summary(summary()),
            rule +
                "\n"
                "model         convnet, 421,642 parameters\n"
                "data          fashion-mnist train (60000 samples)\n"
                "ranks         2 on cpu, mpi, 32-true\n"
                "epochs        5 of 5, 2,345 steps\n"
                "time          1:32, 3,260 samples/s\n"
                "a step        20.00 ms: data 1.0 %, forward 30.0 %, backward 50.0 %, exposed\n"
                "              communication 5.0 %, optimizer 13.5 %, other 0.5 %\n"
                "train loss    0.2346\n"
                "test          loss 0.2811, accuracy 90.12 %\n"
                "checkpoint    runs/convnet-fashion-mnist/checkpoints/step_00002345\n"
                "the run       start up 8.0 %, compute 80.0 %, exposed communication 12.0 %\n"
                "cost          $0.0767, $0.0153 per epoch, 0.051 GPU-h\n" +
                rule + "\n");
}

TEST(FormatSummary, SaysAllAboutTheMoney) {
  RunSummary value = summary();
  value.costs.per_million = 0.25;
  value.costs.budget_share = 0.5;
  const std::string table = format_summary(value);
  EXPECT_NE(table.find("cost          $0.0767, $0.0153 per epoch, $0.2500 per million samples, 0.051\n"
                       "              GPU-h, 50.0 % of the budget\n"),
            std::string::npos)
      << table;
}

TEST(FormatSummary, NamesLogicalRanksWhereTheyAreOthers) {
  RunSummary value = summary();
  value.logical_world_size = 8;
  EXPECT_NE(format_summary(value).find("ranks         2 on cpu, mpi, 32-true, as 8 logical ranks\n"),
            std::string::npos);
}

TEST(FormatSummary, SaysHowMuchOfAGpusMemoryWasUsed) {
  RunSummary value = summary();
  value.peak_device = {.allocated_bytes = 3.0 * (1 << 30), .reserved_bytes = 512.0 * (1 << 20)};
  EXPECT_NE(
      format_summary(value).find("GPU memory    at most 3.00 GiB in use, 512.0 MiB reserved on rank 0\n"),
      std::string::npos);
  value.world_size = value.logical_world_size = 1;
  EXPECT_NE(format_summary(value).find("512.0 MiB reserved\n"), std::string::npos);
}

TEST(FormatSummary, LeavesOutWhatThereIsNot) {
  RunSummary value = summary();
  value.times = {};
  value.train_loss.reset();
  value.test_loss.reset();
  value.test_accuracy.reset();
  value.checkpoint.clear();
  value.per_epoch.reset();
  value.costs.spend.amount.reset();
  const std::string table = format_summary(value);
  for (const char* absent : {"a step", "train loss", "test ", "checkpoint", "per epoch", "$"}) {
    EXPECT_EQ(table.find(absent), std::string::npos) << absent << " in\n" << table;
  }
  EXPECT_NE(table.find("cost          0.051 GPU-h\n"), std::string::npos) << table;
}

TEST(FormatSummary, StaysWithin80ColumnsAndLosesNothing) {
  RunSummary value = summary();
  std::string path = "/a";
  for (int i = 0; i < 100; ++i) path += "/\xc3\xa4" + std::to_string(i);  // two-byte letters
  value.checkpoint = path;
  value.data = std::string(300, 'd');
  const std::string table = format_summary(value);
  std::istringstream lines(table);
  std::string joined;
  for (std::string line; std::getline(lines, line);) {
    EXPECT_LE(line.size(), 80u);
    // No line begins inside a letter.
    if (line.size() > 14) {
      EXPECT_NE(static_cast<unsigned char>(line[14]) & 0xc0, 0x80) << line;
    }
    joined += line.size() > 14 ? line.substr(14) : line;
  }
  EXPECT_NE(joined.find(path), std::string::npos);
  EXPECT_NE(joined.find(value.data), std::string::npos);
}

}  // namespace
}  // namespace lockstep

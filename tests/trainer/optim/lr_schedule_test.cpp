// Every learning rate of every schedule against torch.optim.lr_scheduler, bit for bit; resumed anywhere.
#include "trainer/optim/lr_schedule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>

#include "tests/reference/reference_file.h"

namespace lockstep {
namespace {

constexpr int kSteps = 120;
constexpr double kBaseLr = 0.1;

struct Case {
  const char* name;
  LrScheduleOptions options;
};

// The same table as in tests/reference/lr_schedule_reference.py.
const std::vector<Case>& cases() {
  static const std::vector<Case> table{
      {"constant", {}},
      {"constant_warmup", {.warmup_steps = 11}},
      {"step", {.name = "step", .step_size = 7, .gamma = 0.7}},
      {"multi_step", {.name = "multi-step", .milestones = {1, 30, 31, 80}, .gamma = 0.3}},
      {"exponential", {.name = "exponential", .gamma = 0.97}},
      {"linear", {.name = "linear", .length = 100}},
      {"linear_rise", {.name = "linear", .length = 70, .start_factor = 0.3, .end_factor = 0.9}},
      {"cosine", {.name = "cosine", .length = kSteps, .min_lr = 1e-5}},
      {"cosine_twice", {.name = "cosine", .length = 33}},
      {"polynomial", {.name = "polynomial", .length = 90, .power = 0.9}},
      {"one_cycle", {.name = "one-cycle", .length = kSteps}},
      {"one_cycle_options",
       {.name = "one-cycle",
        .length = 130,
        .pct_start = 0.25,
        .div_factor = 10.0,
        .final_div_factor = 100.0,
        .cycle_momentum = false}},
      {"warmup_step", {.name = "step", .step_size = 30, .warmup_steps = 10, .warmup_start_factor = 0.01}},
      {"warmup_multi_step",
       {.name = "multi-step", .milestones = {20, 60}, .warmup_steps = 5, .warmup_start_factor = 0.1}},
      {"warmup_exponential", {.name = "exponential", .gamma = 0.9, .warmup_steps = 3}},
      {"warmup_linear",
       {.name = "linear",
        .length = 100,
        .start_factor = 0.9,
        .end_factor = 0.1,
        .warmup_steps = 20,
        .warmup_start_factor = 0.001}},
      {"warmup_cosine",
       {.name = "cosine", .length = 107, .min_lr = 0.003, .warmup_steps = 13, .warmup_start_factor = 0.01}},
      {"warmup_polynomial",
       {.name = "polynomial", .length = 119, .power = 2.0, .warmup_steps = 1, .warmup_start_factor = 0.5}},
  };
  return table;
}

std::vector<double> expected(const std::string& name) {
  static const auto lists = read_reference("schedules.safetensors");
  const at::Tensor& list = lists.at(name);
  return {list.const_data_ptr<double>(), list.const_data_ptr<double>() + list.numel()};
}

void expect_same_bits(const std::vector<double>& ours, const std::vector<double>& theirs) {
  ASSERT_EQ(ours.size(), theirs.size());
  for (std::size_t i = 0; i < ours.size(); ++i)
    EXPECT_EQ(std::bit_cast<std::uint64_t>(ours[i]), std::bit_cast<std::uint64_t>(theirs[i]))
        << "step " << i << ": " << ours[i] << ", PyTorch " << theirs[i];
}

class ScheduleAgainstPython : public testing::TestWithParam<Case> {};

TEST_P(ScheduleAgainstPython, HasItsLearningRates) {
  LrScheduler scheduler(kBaseLr, GetParam().options);
  std::vector<double> rates{scheduler.lr()};
  std::vector<double> momenta{scheduler.momentum().value_or(0.0)};
  for (int step = 1; step <= kSteps; ++step) {
    scheduler.step();
    rates.push_back(scheduler.lr());
    momenta.push_back(scheduler.momentum().value_or(0.0));
  }
  expect_same_bits(rates, expected(GetParam().name));
  EXPECT_EQ(scheduler.steps(), kSteps);
  if (scheduler.momentum()) expect_same_bits(momenta, expected(std::string(GetParam().name) + ".momentum"));
}

TEST_P(ScheduleAgainstPython, GoesOnAnywhere) {
  LrScheduler whole(kBaseLr, GetParam().options);
  std::vector<double> rates{whole.lr()};
  for (int step = 1; step <= kSteps; ++step) {
    LrScheduler resumed(kBaseLr, GetParam().options);  // a new one for every step
    resumed.resume(whole.steps(), whole.lr());
    resumed.step();
    whole.step();
    rates.push_back(resumed.lr());
    EXPECT_EQ(resumed.momentum(), whole.momentum());
  }
  expect_same_bits(rates, expected(std::string(GetParam().name) + ".resumed"));
}

INSTANTIATE_TEST_SUITE_P(, ScheduleAgainstPython, testing::ValuesIn(cases()),
                         [](const auto& info) { return std::string(info.param.name); });

std::string refusal(const LrScheduleOptions& options) {
  try {
    LrScheduler scheduler(kBaseLr, options);
    for (int step = 0; step < 20; ++step) scheduler.step();
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "accepted";
}

TEST(LrScheduler, RefusesWhatCannotBe) {
  using testing::HasSubstr;
  EXPECT_THAT(refusal({.name = "cyclic"}), HasSubstr("unknown learning-rate schedule 'cyclic'"));
  EXPECT_THAT(refusal({.name = "cosine", .length = -3}), HasSubstr("schedule cosine has -3 steps"));
  EXPECT_THAT(refusal({.name = "step"}), HasSubstr("step size of at least 1"));
  EXPECT_THAT(refusal({.name = "multi-step"}), HasSubstr("needs milestones"));
  EXPECT_THAT(refusal({.name = "one-cycle", .length = 10}), HasSubstr("ends after 10 steps"));
  EXPECT_THAT(refusal({.name = "one-cycle", .length = 20, .pct_start = 0.05}),
              HasSubstr("phase without length"));
  EXPECT_THAT(refusal({.name = "one-cycle", .length = 20, .warmup_steps = 5}),
              HasSubstr("warms up by itself"));
}

TEST(LrScheduler, DescriptionsTellSchedulesApart) {
  EXPECT_EQ(LrScheduler(0.5, {}).description(), "constant");
  EXPECT_EQ(LrScheduler(0.5, {.name = "cosine", .length = 9, .warmup_steps = 2}).description(),
            "cosine from 0.5, warm-up 2, length 9");
  EXPECT_NE(LrScheduler(0.1, {.name = "exponential"}).description(),
            LrScheduler(0.2, {.name = "exponential"}).description());
}

}  // namespace
}  // namespace lockstep

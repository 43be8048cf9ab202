#include "trainer/train_state.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sampler/data_error.h"
#include "trainer/random_state.h"
#include "trainer/run_identity.h"

namespace lockstep {
namespace {

using ::testing::HasSubstr;

TrainState example() {
  TrainState state;
  state.step = 1234;
  state.epoch = 2;
  state.batch = 17;
  state.samples_seen = 99999;
  state.train_loss = 0.1234567890123456789;
  state.test_accuracy = 0.5;
  state.random_states = {random_state(at::kCPU), random_state(at::kCPU)};
  state.buckets = {{{3, 1}, {0, 2}}, true};
  state.schedule = "exponential from 0.1";
  state.schedule_steps = 1234;
  state.lr = 0.1 / 3;
  state.grad_scaler = {.scale = 1024.0, .growth_tracker = 17};
  state.optimizer_name = "sgd";
  state.optimizer = {{0, "momentum_buffer", at::arange(6, at::kFloat).view({2, 3})},
                     {1, "momentum_buffer", at::ones({})}};
  state.identity = {{"model", "mlp"}, {"ranks", "2"}};
  return state;
}

TEST(TrainStateTest, ComesBackAsItWas) {
  const TrainState before = example();
  const TrainState after = train_state_from(to_ivalue(before));
  EXPECT_EQ(after.step, before.step);
  EXPECT_EQ(after.epoch, before.epoch);
  EXPECT_EQ(after.batch, before.batch);
  EXPECT_EQ(after.samples_seen, before.samples_seen);
  EXPECT_EQ(after.train_loss, before.train_loss);
  EXPECT_EQ(after.test_loss, std::nullopt);
  EXPECT_EQ(after.test_accuracy, before.test_accuracy);
  ASSERT_EQ(after.random_states.size(), 2U);
  EXPECT_TRUE(at::equal(after.random_states[1], before.random_states[1]));
  EXPECT_EQ(after.buckets.assignment, before.buckets.assignment);
  EXPECT_EQ(after.buckets.rebuilt, before.buckets.rebuilt);
  EXPECT_EQ(after.schedule, before.schedule);
  EXPECT_EQ(after.schedule_steps, before.schedule_steps);
  EXPECT_EQ(after.lr, before.lr);
  ASSERT_TRUE(after.grad_scaler.has_value());
  EXPECT_EQ(after.grad_scaler->scale, 1024.0);
  EXPECT_EQ(after.grad_scaler->growth_tracker, 17);
  EXPECT_EQ(after.optimizer_name, before.optimizer_name);
  ASSERT_EQ(after.optimizer.size(), 2U);
  EXPECT_EQ(after.optimizer[1].parameter_index, 1);
  EXPECT_EQ(after.optimizer[0].name, "momentum_buffer");
  EXPECT_TRUE(at::equal(after.optimizer[0].value, before.optimizer[0].value));
  EXPECT_EQ(after.identity, before.identity);
}

std::string complaint(const std::function<void(c10::impl::GenericDict&)>& damage) {
  auto dict = to_ivalue(example()).toGenericDict();
  damage(dict);
  try {
    train_state_from(dict);
  } catch (const DataError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(TrainStateTest, SaysWhatIsWrong) {
  EXPECT_EQ(complaint([](auto&) {}), "accepted");
  EXPECT_THAT(complaint([](auto& d) { static_cast<void>(d.erase("epoch")); }), HasSubstr("has no epoch"));
  EXPECT_THAT(complaint([](auto& d) { d.insert_or_assign("step", "x"); }), HasSubstr("step"));
  EXPECT_THAT(complaint([](auto& d) { d.insert_or_assign("step", -1); }), HasSubstr("at least 0"));
  EXPECT_THAT(complaint([](auto& d) { d.insert_or_assign("train_loss", 1); }), HasSubstr("train_loss"));
  EXPECT_THAT(complaint([](auto& d) { d.insert_or_assign("optimizer", 1.0); }), HasSubstr("optimizer"));
  EXPECT_THAT(complaint([](auto& d) { d.insert_or_assign("buckets", 1.0); }), HasSubstr("buckets"));
  EXPECT_THAT(complaint([](auto& d) { d.insert_or_assign("grad_scaler", 1024.0); }),
              HasSubstr("grad_scaler"));
  EXPECT_THAT(complaint([](auto& d) { d.insert_or_assign("format_version", 4); }),
              HasSubstr("newer Lockstep"));
  EXPECT_THROW(train_state_from(c10::IValue(3)), DataError);
}

TEST(TrainStateTest, AnOldFormatIsTakenWhereItHasAllThatIsNeededAndSaysSoWhereNot) {
  EXPECT_EQ(complaint([](auto& d) { d.insert_or_assign("format_version", 1); }), "accepted");
  const std::string lacks = complaint([](auto& d) {
    d.insert_or_assign("format_version", 1);
    static_cast<void>(d.erase("schedule"));
  });
  EXPECT_THAT(lacks, HasSubstr("train_state.pt has no schedule: it has format 1, of an older Lockstep"));
  EXPECT_THAT(lacks, HasSubstr("--init-from"));
  EXPECT_THAT(complaint([](auto& d) { static_cast<void>(d.erase("schedule")); }),
              ::testing::Not(HasSubstr("older")));
}

// Whoever changes the fields raises the format version, and says here what it has.
TEST(TrainStateTest, AFormatVersionStandsForItsFields) {
  const auto dict = to_ivalue(example()).toGenericDict();
  std::vector<std::string> fields;
  for (const auto& item : dict) fields.push_back(item.key().toStringRef());
  EXPECT_EQ(dict.at("format_version").toInt(), 3);
  EXPECT_THAT(fields,
              ::testing::UnorderedElementsAre(
                  "format_version", "step", "epoch", "batch", "samples_seen", "train_loss", "test_loss",
                  "test_accuracy", "monitor", "random_states", "buckets", "schedule", "schedule_steps", "lr",
                  "momentum", "grad_scaler", "optimizer_name", "optimizer", "identity", "circumstances"));
}

TEST(CheckIdentityTest, ListsEveryDifference) {
  const Identity saved = {{"model", "mlp"}, {"seed", "1"}, {"ranks", "2"}};
  EXPECT_NO_THROW(check_identity(saved, saved));
  try {
    check_identity(saved, {{"model", "convnet"}, {"seed", "1"}, {"ranks", "4"}});
    ADD_FAILURE() << "a checkpoint of another run was accepted";
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), HasSubstr("model was mlp, is convnet; ranks was 2, is 4"));
  }
}

TEST(RandomStateTest, RestoresWhatWillBeDrawn) {
  seed_everything(7);
  at::randn({5});
  const at::Tensor state = random_state(at::kCPU);
  const at::Tensor expected = at::randn({100});
  at::randn({3});
  set_random_state(state, at::kCPU);
  EXPECT_TRUE(at::equal(at::randn({100}), expected));
  EXPECT_THROW(set_random_state(at::zeros({3}, at::kByte), at::kCPU), DataError);
  EXPECT_THROW(set_random_state(state.to(at::kInt), at::kCPU), DataError);
}

}  // namespace
}  // namespace lockstep

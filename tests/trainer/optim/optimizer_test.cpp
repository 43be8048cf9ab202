// Fifty steps of each optimizer against PyTorch's Python, bit for bit; their memory both ways; bad options.
#include "trainer/optim/optimizer.h"

#include <ATen/Parallel.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <set>

#include "sampler/data_error.h"
#include "tests/reference/reference_file.h"
#include "trainer/optim/elementwise_optimizer.h"

namespace lockstep {
namespace {

using testing::HasSubstr;

struct Case {
  const char* name;
  const char* optimizer;
  OptimizerOptions options;
};

// The same table as in tests/reference/optimizer_reference.py.
const std::vector<Case>& cases() {
  static const std::vector<Case> table{
      {"sgd", "sgd", {.lr = 0.1}},
      {"sgd_momentum", "sgd", {.lr = 0.05, .momentum = 0.9}},
      {"sgd_weight_decay", "sgd", {.lr = 0.1, .weight_decay = 1e-2}},
      {"sgd_momentum_weight_decay", "sgd", {.lr = 0.03, .momentum = 0.85, .weight_decay = 5e-4}},
      {"sgd_nesterov", "sgd", {.lr = 0.02, .momentum = 0.9, .nesterov = true}},
      {"sgd_nesterov_weight_decay",
       "sgd",
       {.lr = 0.02, .momentum = 0.8, .nesterov = true, .weight_decay = 1e-3}},
      {"sgd_dampening", "sgd", {.lr = 0.1, .momentum = 0.9, .dampening = 0.3, .weight_decay = 1e-4}},
      {"adam", "adam", {.lr = 1e-3}},
      {"adam_weight_decay", "adam", {.lr = 3e-3, .weight_decay = 0.02}},
      {"adamw", "adamw", {.lr = 1e-3}},
      {"adamw_weight_decay", "adamw", {.lr = 3e-3, .weight_decay = 0.01}},
      {"adamw_small_beta1", "adamw", {.lr = 1e-2, .beta1 = 0.3, .beta2 = 0.99}},
      {"adamw_betas", "adamw", {.lr = 1e-2, .weight_decay = 0.1, .beta1 = 0.8, .beta2 = 0.95, .eps = 1e-6}},
      {"fused_sgd", "sgd", {.lr = 0.1, .weight_decay = 1e-2, .fused = true}},
      {"fused_sgd_nesterov",
       "sgd",
       {.lr = 0.02, .momentum = 0.8, .nesterov = true, .weight_decay = 1e-3, .fused = true}},
      {"fused_sgd_dampening", "sgd", {.lr = 0.1, .momentum = 0.9, .dampening = 0.3, .fused = true}},
      {"fused_adam", "adam", {.lr = 3e-3, .weight_decay = 0.02, .fused = true}},
      {"fused_adamw",
       "adamw",
       {.lr = 1e-2, .weight_decay = 0.1, .beta1 = 0.8, .beta2 = 0.95, .eps = 1e-6, .fused = true}},
  };
  return table;
}

constexpr int kSteps = 50;
constexpr std::size_t kParameters = 7;

std::string numbered(const std::string& what, std::int64_t i) {
  return what + "." + std::to_string(i);
}

std::vector<at::Tensor> starting_parameters(const std::map<std::string, at::Tensor>& given) {
  std::vector<at::Tensor> parameters;
  for (std::size_t i = 0; i < kParameters; ++i) {
    parameters.push_back(given.at(numbered("start", static_cast<std::int64_t>(i))).clone().requires_grad_());
  }
  return parameters;
}

void take_step(Optimizer& optimizer, std::vector<at::Tensor>& parameters, int step,
               const std::map<std::string, at::Tensor>& given) {
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const auto grad = given.find(numbered(numbered("grad", step), static_cast<std::int64_t>(i)));
    if (grad != given.end()) parameters[i].mutable_grad() = grad->second.clone();
  }
  optimizer.step();
  optimizer.zero_grad();
}

class OptimizerAgainstPython : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override { at::set_num_threads(1); }

  std::unique_ptr<Optimizer> make(const std::vector<at::Tensor>& parameters) const {
    return create_optimizer(GetParam().optimizer, parameters, GetParam().options);
  }
};

TEST_P(OptimizerAgainstPython, HasTheSameBitsForFiftySteps) {
  const auto given = read_reference("gradients.safetensors");
  const auto expected = read_reference(std::string(GetParam().name) + ".safetensors");
  auto parameters = starting_parameters(given);
  const auto optimizer = make(parameters);

  int compared = 0;
  for (int step = 1; step <= kSteps; ++step) {
    take_step(*optimizer, parameters, step, given);
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      EXPECT_FALSE(parameters[i].grad().defined());
      const auto after = expected.find(numbered(numbered("after", step), static_cast<std::int64_t>(i)));
      if (after == expected.end()) continue;
      ++compared;
      EXPECT_TRUE(same_bits(parameters[i], after->second)) << after->first;
    }
  }
  EXPECT_EQ(compared, 5 * static_cast<int>(kParameters));

  std::set<std::string> names;
  for (const auto& entry : optimizer->state()) {
    const std::string name = numbered("state", entry.parameter_index) + "." + entry.name;
    names.insert(name);
    ASSERT_TRUE(expected.contains(name)) << name;
    EXPECT_TRUE(same_bits(entry.value, expected.at(name))) << name;
  }
  for (const auto& [name, value] : expected) {
    EXPECT_TRUE(!name.starts_with("state.") || names.contains(name)) << name;
  }
}

TEST_P(OptimizerAgainstPython, ContinuesFromItsStateWithTheSameBits) {
  const auto given = read_reference("gradients.safetensors");
  auto parameters = starting_parameters(given);
  const auto optimizer = make(parameters);
  std::vector<at::Tensor> copies;
  std::unique_ptr<Optimizer> resumed;
  for (int step = 1; step <= kSteps; ++step) {
    if (step == 20) {
      for (const at::Tensor& parameter : parameters)
        copies.push_back(parameter.detach().clone().requires_grad_());
      resumed = make(copies);
      resumed->load_state(optimizer->state());
    }
    if (resumed) take_step(*resumed, copies, step, given);
    take_step(*optimizer, parameters, step,
              given);  // after the copy: it must not have changed the original's state
  }
  for (std::size_t i = 0; i < parameters.size(); ++i) EXPECT_TRUE(same_bits(parameters[i], copies[i])) << i;
}

// As ShardedOptimizer does it: over shared memory in pieces, at places that are no multiple of anything,
// elsewhere some shards at a time.
TEST_P(OptimizerAgainstPython, StepsInPiecesHaveTheSameBits) {
  const auto given = read_reference("gradients.safetensors");
  auto parameters = starting_parameters(given);
  std::vector<at::Tensor> pieces, shards;
  for (const at::Tensor& parameter : parameters) {
    pieces.push_back(parameter.detach().clone().view({-1}));
    shards.push_back(pieces.back().clone());
  }
  const OptimizerOptions& options = GetParam().options;
  const auto whole = make(parameters);
  const auto in_pieces = create_elementwise_optimizer(GetParam().optimizer, pieces, options);
  const auto in_shards = create_elementwise_optimizer(GetParam().optimizer, shards, options);
  for (int step = 1; step <= 12; ++step) {
    take_step(*whole, parameters, step, given);
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      const auto grad = given.find(numbered(numbered("grad", step), static_cast<std::int64_t>(i)));
      if (grad == given.end()) continue;
      const std::int64_t count = pieces[i].numel();
      const at::Tensor flat = grad->second.reshape({-1});
      const bool begun = in_shards->remembers(i);
      if (options.fused && begun) {
        in_shards->update_with({{i, flat}}, at::ones({}));  // an overflow
        in_shards->update_with({{i, flat}}, at::zeros({}));
      } else {
        in_shards->update_with({{i, flat}});
      }
      EXPECT_TRUE(in_shards->remembers(i));
      if (options.fused)
        continue;  // those kernels round the last elements of a range otherwise than the rest
      in_pieces->begin_update(i);
      for (std::int64_t begin = 0; begin < count; begin += 37) {
        in_pieces->update(i, begin, flat.const_data_ptr<float>() + begin,
                          std::min<std::int64_t>(37, count - begin));
      }
    }
  }
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const at::Tensor flat = parameters[i].detach().view({-1});
    EXPECT_TRUE(same_bits(flat, shards[i])) << i;
    EXPECT_TRUE(options.fused || same_bits(flat, pieces[i])) << i;
  }
}

TEST_P(OptimizerAgainstPython, TakesPythonsState) {
  const auto expected = read_reference(std::string(GetParam().name) + ".safetensors");
  std::vector<OptimizerStateEntry> entries;
  for (const auto& [name, value] : expected) {
    if (!name.starts_with("state.")) continue;
    const auto dot = name.find('.', 6);
    entries.push_back({std::stoll(name.substr(6, dot - 6)), name.substr(dot + 1), value});
  }
  auto parameters = starting_parameters(read_reference("gradients.safetensors"));
  const auto optimizer = make(parameters);
  optimizer->load_state(entries);
  EXPECT_EQ(optimizer->state().size(), entries.size());
  for (const auto& entry : optimizer->state()) {
    const at::Tensor& given = expected.at(numbered("state", entry.parameter_index) + "." + entry.name);
    EXPECT_TRUE(same_bits(entry.value, given));
    EXPECT_TRUE(given.numel() == 0 || entry.value.const_data_ptr() != given.const_data_ptr()) << "not a copy";
  }
}

INSTANTIATE_TEST_SUITE_P(, OptimizerAgainstPython, testing::ValuesIn(cases()),
                         [](const auto& info) { return std::string(info.param.name); });

at::Tensor parameter(at::IntArrayRef sizes) {
  return at::ones(sizes).requires_grad_();
}

std::string load_refusal(const std::string& name, const OptimizerOptions& options,
                         const std::vector<OptimizerStateEntry>& entries) {
  const auto optimizer = create_optimizer(name, {parameter({2, 3}), parameter({4})}, options);
  try {
    optimizer->load_state(entries);
  } catch (const DataError& error) {
    EXPECT_TRUE(optimizer->state().empty()) << "a refused state must not be taken in part";
    return error.what();
  }
  return "accepted";
}

TEST(OptimizerState, NamesEverythingThatDoesNotFit) {
  const at::Tensor good = at::zeros({2, 3});
  const std::string sgd = load_refusal("sgd", {.momentum = 0.9},
                                       {{0, "momentum_buffer", at::zeros({3, 2})},
                                        {1, "exp_avg", at::zeros({4})},
                                        {2, "momentum_buffer", at::zeros({4})},
                                        {-1, "momentum_buffer", at::zeros({4})},
                                        {1, "momentum_buffer", at::zeros({4}, at::kDouble)}});
  EXPECT_EQ(sgd,
            "the saved optimizer state does not fit sgd and this model: momentum_buffer of parameter 0 is "
            "Float[3, 2] "
            "instead of Float[2, 3], exp_avg of parameter 1 is nothing that sgd keeps, momentum_buffer of "
            "parameter 2 "
            "belongs to no parameter (there are 2), momentum_buffer of parameter -1 belongs to no parameter "
            "(there are "
            "2), momentum_buffer of parameter 1 is Double[4] instead of Float[4]; choose the options that it "
            "was saved "
            "with, or start over with --fresh");
  EXPECT_THAT(load_refusal("sgd", {}, {{0, "momentum_buffer", good}}), HasSubstr("a momentum other than 0"));
  EXPECT_THAT(
      load_refusal("sgd", {.momentum = 0.9}, {{0, "momentum_buffer", good}, {0, "momentum_buffer", good}}),
      HasSubstr("momentum_buffer of parameter 0 is given twice"));
  EXPECT_THAT(load_refusal("sgd", {.momentum = 0.9}, {{0, "momentum_buffer", {}}}),
              HasSubstr("has no value"));
  const std::string adamw = load_refusal("adamw", {}, {{0, "step", at::zeros({1})}, {0, "exp_avg", good}});
  EXPECT_THAT(adamw, HasSubstr("step of parameter 0 is Float[1] instead of Float[]"));
  EXPECT_THAT(adamw, HasSubstr("exp_avg_sq of parameter 0 is missing"));
  EXPECT_THAT(load_refusal("adamw", {}, {{7, "step", at::zeros({})}}), HasSubstr("belongs to no parameter"));
  EXPECT_THAT(load_refusal("adamw", {}, {{0, "momentum_buffer", good}}),
              HasSubstr("is nothing that adamw keeps"));
}

std::string refusal(const std::string& name, std::vector<at::Tensor> parameters,
                    const OptimizerOptions& options) {
  try {
    create_optimizer(name, std::move(parameters), options);
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "accepted";
}

TEST(OptimizerOptionsCheck, RefusesWhatPyTorchRefuses) {
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const auto p = [] { return std::vector<at::Tensor>{parameter({2})}; };
  EXPECT_EQ(refusal("sgd", p(), {.lr = -0.1}), "learning rate must be a number of at least 0, not -0.1");
  EXPECT_EQ(refusal("sgd", p(), {.lr = kNan}), "learning rate must be a number of at least 0, not nan");
  EXPECT_EQ(refusal("adamw", p(), {.lr = kInfinity}),
            "learning rate must be a number of at least 0, not inf");
  EXPECT_EQ(refusal("sgd", p(), {.momentum = -1}), "momentum must be a number of at least 0, not -1");
  EXPECT_EQ(refusal("sgd", p(), {.momentum = 0.9, .dampening = -1}),
            "dampening must be a number of at least 0, not -1");
  for (const OptimizerOptions& options :
       {OptimizerOptions{.nesterov = true},
        OptimizerOptions{.momentum = 0.9, .dampening = 0.1, .nesterov = true}})
    EXPECT_EQ(refusal("sgd", p(), options),
              "Nesterov's momentum needs a momentum above 0 and a dampening of 0");
  EXPECT_EQ(refusal("adamw", p(), {.weight_decay = -1}),
            "weight decay must be a number of at least 0, not -1");
  EXPECT_EQ(refusal("adamw", p(), {.beta1 = 1}), "beta1 must be at least 0 and below 1, not 1");
  EXPECT_EQ(refusal("adamw", p(), {.beta2 = kNan}), "beta2 must be at least 0 and below 1, not nan");
  EXPECT_EQ(refusal("adamw", p(), {.eps = -1}), "eps must be a number of at least 0, not -1");
  EXPECT_EQ(refusal("adamax", p(), {}), "unknown optimizer 'adamax'; known are: sgd, adam, adamw");
  EXPECT_EQ(refusal("sgd", {}, {}), "the optimizer got no parameters: the model has none to train");
  EXPECT_EQ(refusal("sgd", {at::Tensor()}, {}), "the optimizer's parameter 0 is not a floating-point tensor");
  EXPECT_EQ(refusal("sgd", {at::ones({2}, at::kLong)}, {}),
            "the optimizer's parameter 0 is not a floating-point tensor");
  EXPECT_EQ(refusal("sgd", {parameter({2}), parameter({2}).mul(2)}, {}),
            "the optimizer's parameter 1 is computed from others and cannot be trained");
  const at::Tensor twice = parameter({2});
  EXPECT_EQ(refusal("sgd", {twice, twice}, {}), "the optimizer's parameter 1 is given twice");
}

TEST(Optimizer, SetsTheLearningRateOfTheNextStep) {
  for (const std::string& name : optimizer_names()) {
    const auto optimizer = create_optimizer(name, {parameter({2})}, {.lr = 0.5});
    EXPECT_EQ(optimizer->name(), name);
    optimizer->set_lr(0.25);
    EXPECT_EQ(optimizer->lr(), 0.25);
    EXPECT_THROW(optimizer->set_lr(std::nan("")), std::invalid_argument);
    EXPECT_EQ(optimizer->lr(), 0.25);
  }
  auto weight = at::ones({1}).requires_grad_();
  const auto sgd = create_optimizer("sgd", {weight}, {.lr = 1});
  sgd->set_lr(0.25);
  weight.mutable_grad() = at::ones({1}).mul(2);
  sgd->step();
  EXPECT_EQ(weight.item<float>(), 0.5F);  // 1 - 0.25 * 2
}

// Where found_inf is set, a step leaves parameters and memory as they were, the first one too.
TEST_P(OptimizerAgainstPython, AnOverflowLeavesEverythingAsItWas) {
  const auto given = read_reference("gradients.safetensors");
  auto parameters = starting_parameters(given);
  auto others = starting_parameters(given);
  const auto optimizer = make(parameters);
  const auto other = make(others);
  for (int step = 1; step <= 4; ++step) {
    for (std::size_t i = 0; i + 2 < parameters.size(); ++i) {
      const at::Tensor& grad = given.at(numbered(numbered("grad", step), static_cast<std::int64_t>(i)));
      parameters[i].mutable_grad() = grad.clone();
      others[i].mutable_grad() = grad.clone();
    }
    const bool overflow = step % 2 == 1;
    optimizer->step_unless(at::full({}, overflow ? 1.0F : 0.0F));
    if (!overflow) other->step();
  }
  for (std::size_t i = 0; i < parameters.size(); ++i) EXPECT_TRUE(same_bits(parameters[i], others[i])) << i;
  const auto state = optimizer->state();
  const auto expected = other->state();
  ASSERT_EQ(state.size(), expected.size());
  for (std::size_t i = 0; i < state.size(); ++i)
    EXPECT_TRUE(same_bits(state[i].value, expected[i].value)) << state[i].name;
}

// What is captured in a CUDA graph follows set_lr() by way of the tensor. On the CPU it holds the same
// number.
TEST_P(OptimizerAgainstPython, ALearningRateInATensorHasTheSameBits) {
  const auto given = read_reference("gradients.safetensors");
  auto parameters = starting_parameters(given);
  auto others = starting_parameters(given);
  OptimizerOptions options = GetParam().options;
  options.lr_on_device = true;
  const auto optimizer = create_optimizer(GetParam().optimizer, parameters, options);
  const auto other = make(others);
  for (int step = 1; step <= kSteps; ++step) {
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      const auto grad = given.find(numbered(numbered("grad", step), static_cast<std::int64_t>(i)));
      parameters[i].mutable_grad() = grad == given.end() ? at::Tensor() : grad->second.clone();
      others[i].mutable_grad() = grad == given.end() ? at::Tensor() : grad->second.clone();
    }
    for (const auto* one : {&optimizer, &other}) {
      (*one)->set_lr(GetParam().options.lr / step);
      (*one)->step();
    }
  }
  if (!options.fused) {
    EXPECT_FALSE(optimizer->is_repeatable()) << "the host computes with the rate";
  }
  for (std::size_t i = 0; i < parameters.size(); ++i) EXPECT_TRUE(same_bits(parameters[i], others[i])) << i;
}

TEST(Optimizer, IsRepeatableOnceEachParameterHasItsMemory) {
  const auto weight = at::zeros({1}).requires_grad_();
  const auto bias = at::zeros({1}).requires_grad_();
  const auto adam = create_optimizer("adam", {weight, bias}, {.lr = 1, .fused = true, .lr_on_device = true});
  EXPECT_FALSE(adam->is_repeatable());
  weight.mutable_grad() = at::ones({1});
  adam->step();
  EXPECT_FALSE(adam->is_repeatable());
  bias.mutable_grad() = at::ones({1});
  adam->step_unless(at::full({}, 1.0F));
  EXPECT_FALSE(adam->is_repeatable()) << "an overflow is no first step";
  adam->step();
  EXPECT_TRUE(adam->is_repeatable());
}

// One-cycle moves it in every step.
TEST(Optimizer, SetsTheMomentumOfTheNextStep) {
  auto weight = at::zeros({1}).requires_grad_();
  const auto sgd = create_optimizer("sgd", {weight}, {.lr = 1, .momentum = 0.5});
  for (const double momentum : {0.5, 0.25}) {
    sgd->set_momentum(momentum);
    weight.mutable_grad() = at::ones({1});
    sgd->step();
  }
  EXPECT_EQ(weight.item<float>(), -2.25F);  // -1, then a buffer of 0.25 * 1 + 1
  EXPECT_THROW(sgd->set_momentum(0), std::invalid_argument);
  EXPECT_THROW(create_optimizer("sgd", {weight}, {})->set_momentum(0.9), std::invalid_argument);
  const auto adam = create_optimizer("adam", {weight}, {.beta1 = 0.95});
  EXPECT_NO_THROW(adam->set_momentum(0.85));
  EXPECT_THROW(adam->set_momentum(0.4), std::invalid_argument);
  EXPECT_THROW(adam->set_momentum(1), std::invalid_argument);
}

}  // namespace
}  // namespace lockstep

#include "bench/stand_in.h"

#include <ATen/ops/zeros.h>
#include <sys/prctl.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <string>
#include <thread>
#include <utility>

namespace lockstep {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

std::chrono::steady_clock::duration to_duration(double seconds) {
  return std::chrono::duration_cast<std::chrono::steady_clock::duration>(
      std::chrono::duration<double>(seconds));
}

// The kernel lets a sleeper wait 50 us longer than it asked for, which is a large part of a small model's
// step.
void sleep_until_exactly(std::chrono::steady_clock::time_point moment) {
  prctl(PR_SET_TIMERSLACK, 1UL);
  std::this_thread::sleep_until(moment);
  prctl(PR_SET_TIMERSLACK, 0UL);  // the default again
}

StandIn& owner_of(const AutogradContext& context) {
  return *reinterpret_cast<StandIn*>(context.saved_data.at("owner").toInt());
}

// One parameter's part of the graph: passes `input` on, and in the backward pass gives the parameter its
// gradient when it is time.
struct GradientNode : torch::autograd::Function<GradientNode> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& input,
                            const at::Tensor& /*parameter*/, std::int64_t owner, std::int64_t index) {
    context->saved_data["owner"] = owner;
    context->saved_data["index"] = index;
    return input.clone();
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto index = static_cast<std::size_t>(context->saved_data.at("index").toInt());
    return {gradients[0], owner_of(*context).gradient_when_ready(index), at::Tensor(), at::Tensor()};
  }
};

// The last to go back.
struct EndNode : torch::autograd::Function<EndNode> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& input, std::int64_t owner) {
    context->saved_data["owner"] = owner;
    return input.clone();
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    owner_of(*context).sleep_until_end();
    return {gradients[0], at::Tensor()};
  }
};

}  // namespace

StandIn::StandIn(StepProfile profile) : profile_(std::move(profile)) {
  for (std::size_t i = 0; i < profile_.arrivals.size(); ++i) {
    const std::int64_t elements = std::max<std::int64_t>(1, profile_.arrivals[i].bytes / 4);
    gradient_order_.push_back(register_parameter("gradient" + std::to_string(i), at::zeros({elements})));
  }
}

at::Tensor StandIn::forward() {
  const auto begin = Clock::now();
  const auto owner = reinterpret_cast<std::int64_t>(this);
  at::Tensor output = EndNode::apply(at::zeros({1}).requires_grad_(true), owner);
  for (std::size_t i = gradient_order_.size(); i-- > 0;) {
    output = GradientNode::apply(output, gradient_order_[i], owner, static_cast<std::int64_t>(i));
  }
  sleep_until_exactly(begin + to_duration(profile_.forward_s));  // what the graph took is part of it
  backward_begin_ = Clock::now();
  return output;
}

at::Tensor StandIn::gradient_when_ready(std::size_t index) const {
  at::Tensor gradient = at::zeros(gradient_order_[index].sizes());
  sleep_until_exactly(backward_begin_ + to_duration(profile_.arrivals[index].ready_s));
  return gradient;
}

void StandIn::sleep_until_end() const {
  sleep_until_exactly(backward_begin_ + to_duration(profile_.backward_s));
}

void StandIn::sleep_as_optimizer() const {
  sleep_until_exactly(Clock::now() + to_duration(profile_.optimizer_s));
}

void StandIn::zero_grad_to_none() {
  for (at::Tensor& parameter : gradient_order_) parameter.mutable_grad().reset();
}

}  // namespace lockstep

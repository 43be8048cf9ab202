#include "bench/profiled_step.h"

#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>

#include <algorithm>
#include <chrono>
#include <memory>

#include "bench/report/statistics.h"
#include "bench/training_step.h"

namespace lockstep {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kWarmUpSteps = 3;
constexpr int kTimedSteps = 11;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

// Notes the moment in a slot that outlives it.
class ReadyHook final : public torch::autograd::PostAccumulateGradHook {
 public:
  explicit ReadyHook(Clock::time_point& ready) : ready_(ready) {}
  void operator()(const at::Tensor& /*parameter*/) override { ready_ = Clock::now(); }

 private:
  Clock::time_point& ready_;
};

}  // namespace

StepProfile profile_step(const Workload& workload) {
  TrainingStep training(workload, 0);
  std::vector<at::Tensor> parameters = training.model->parameters();
  std::vector<Clock::time_point> ready(parameters.size());
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    torch::autograd::impl::set_post_acc_grad_hooks(parameters[i], std::make_unique<ReadyHook>(ready[i]));
  }
  std::vector<double> forward;
  std::vector<double> backward;
  std::vector<double> optimizer;
  std::vector<std::vector<double>> arrivals(parameters.size());
  for (int step = 0; step < kWarmUpSteps + kTimedSteps; ++step) {
    auto begin = Clock::now();
    const at::Tensor loss =
        training.loss([&](const at::Tensor& data) { return training.model->forward(data); });
    const double forward_s = seconds_since(begin);
    begin = Clock::now();
    loss.backward();
    const double backward_s = seconds_since(begin);
    const auto backward_begin = begin;
    begin = Clock::now();
    training.optimizer->step();
    if (step < kWarmUpSteps) continue;
    forward.push_back(forward_s);
    backward.push_back(backward_s);
    optimizer.push_back(seconds_since(begin));
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      arrivals[i].push_back(std::chrono::duration<double>(ready[i] - backward_begin).count());
    }
  }
  StepProfile profile;
  profile.workload = workload.name;
  profile.batch_size = workload.batch_size;
  profile.forward_s = spread_of(forward).median;
  profile.backward_s = spread_of(backward).median;
  profile.optimizer_s = spread_of(optimizer).median;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    torch::autograd::impl::set_post_acc_grad_hooks(parameters[i], nullptr);
    const double ready_s = std::max(0.0, spread_of(arrivals[i]).median);
    profile.arrivals.push_back({ready_s, static_cast<std::int64_t>(parameters[i].nbytes())});
  }
  std::stable_sort(profile.arrivals.begin(), profile.arrivals.end(),
                   [](const GradientArrival& a, const GradientArrival& b) { return a.ready_s < b.ready_s; });
  // Medians of different quantities: the last gradient's may be the later one by microseconds.
  profile.backward_s = std::max(profile.backward_s, profile.arrivals.back().ready_s);
  return profile;
}

}  // namespace lockstep

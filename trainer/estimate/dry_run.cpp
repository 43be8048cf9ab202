#include "trainer/estimate/dry_run.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/zeros_like.h>
#include <ATen/record_function.h>
#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>
#include <torch/csrc/profiler/util.h>

#include <algorithm>
#include <memory>
#include <numeric>
#include <string>
#include <string_view>
#include <vector>

#include "trainer/metrics/peak_memory.h"
#include "trainer/models/models.h"
#include "trainer/optim/optimizer.h"
#include "trainer/precision.h"
#include "trainer/random_state.h"
#include "trainer/update_options.h"

namespace lockstep {
namespace {

// Two samples are the fewest that batch norm takes. The more samples the second batch has, the better the
// line through both, and the longer it takes.
constexpr std::int64_t kFewSamples = 2;
constexpr std::int64_t kManySamples = 8;
constexpr std::int64_t kManySequences = 4;  // a sequence of tokens is hundreds of samples in one

// Bytes that LibTorch's CPU allocator has handed out on this thread since the meter began.
class AllocationMeter : public c10::MemoryReportingInfoBase {
 public:
  void reportMemoryUsage(void*, std::int64_t size, std::size_t, std::size_t, c10::Device device) override {
    if (!device.is_cpu()) return;
    now_ += size;
    peak_ = std::max(peak_, now_);
  }
  bool memoryProfilingEnabled() const override { return true; }

  double now() const { return static_cast<double>(now_); }
  double peak() const { return static_cast<double>(peak_); }
  void forget_peak() { peak_ = now_; }

 private:
  std::int64_t now_ = 0;
  std::int64_t peak_ = 0;
};

thread_local double counted_flops = 0.0;

// Two products for each head: queries with keys, and weights with values. The fused kernels behind it do not
// say so.
double attention_flops(const at::RecordFunction& function) {
  const auto inputs = function.inputs();
  if (inputs.size() < 2 || !inputs[0].isTensor() || !inputs[1].isTensor()) return 0.0;
  const at::Tensor query = inputs[0].toTensor();
  const at::Tensor key = inputs[1].toTensor();
  return 4.0 * static_cast<double>(query.numel()) * static_cast<double>(key.size(-2));
}

// Counts what LibTorch's own profiler counts as a forward pass' arithmetic.
class FlopCounter {
 public:
  FlopCounter() {
    counted_flops = 0.0;
    handle_ = at::addThreadLocalCallback(
        at::RecordFunctionCallback(
            [](const at::RecordFunction& function) -> std::unique_ptr<at::ObserverContext> {
              const std::string_view name = function.name();
              if (name == "aten::scaled_dot_product_attention") {
                counted_flops += attention_flops(function);
              } else {
                counted_flops += static_cast<double>(torch::profiler::impl::computeFlops(
                    std::string(name), torch::profiler::impl::saveExtraArgs(function)));
              }
              return nullptr;
            })
            .needsInputs(true)
            .scopes({at::RecordScope::FUNCTION}));
  }
  ~FlopCounter() { at::removeCallback(handle_); }
  FlopCounter(const FlopCounter&) = delete;
  FlopCounter& operator=(const FlopCounter&) = delete;

  double flops() const { return counted_flops; }

 private:
  at::CallbackHandle handle_;
};

double bytes_of(const std::vector<at::Tensor>& tensors) {
  double bytes = 0.0;
  for (const at::Tensor& tensor : tensors) bytes += static_cast<double>(tensor.nbytes());
  return bytes;
}

class Rehearsal {
 public:
  Rehearsal(const TrainConfig& config, const Dataset& data)
      : data_(data),
        precision_(parse_precision(config.precision)),
        meter_(std::make_shared<AllocationMeter>()),
        guard_(c10::DebugInfoKind::PROFILER_STATE, meter_) {
    seed_everything(config.seed);
    model_ = create_model(config.model, data.shape());
    for (const at::Tensor& parameter : model_->parameters())
      if (parameter.requires_grad()) parameters_.push_back(parameter);
    for (at::Tensor& parameter : parameters_) parameter.mutable_grad() = at::zeros_like(parameter);
    optimizer_ = create_optimizer(config.optimizer, parameters_, optimizer_options(config));
  }

  // The peak beyond what was there before the step.
  double train(std::int64_t samples) {
    const double before = begin();
    {
      const Batch batch = first(samples);
      const at::Tensor loss = forward(batch);
      held_ = meter_->now() - before;
      loss.backward();
    }
    optimizer_->step();
    for (at::Tensor& parameter : parameters_) parameter.mutable_grad().zero_();
    return meter_->peak() - before;
  }

  // What the forward pass of the last train() left for its backward pass.
  double held() const { return held_; }

  double evaluate(std::int64_t samples) {
    const at::NoGradGuard no_grad;
    const double before = begin();
    const Batch batch = first(samples);
    const AutocastGuard autocast(precision_, at::kCPU);
    model_->eval();
    model_->score(model_->forward(batch.data), batch.target);
    model_->train();
    return meter_->peak() - before;
  }

  double forward_flops(std::int64_t samples) {
    const at::NoGradGuard no_grad;
    const Batch batch = first(samples);
    const FlopCounter counter;
    forward(batch);
    return counter.flops();
  }

  double weight_bytes() const { return bytes_of(model_->parameters()) + bytes_of(model_->buffers()); }
  double gradient_bytes() const { return bytes_of(parameters_); }
  double optimizer_bytes() {
    double bytes = 0.0;
    for (const auto& entry : optimizer_->state()) bytes += static_cast<double>(entry.value.nbytes());
    return bytes;
  }
  std::int64_t num_parameters() const {
    const auto parameters = model_->parameters();
    return std::accumulate(parameters.begin(), parameters.end(), std::int64_t{0},
                           [](std::int64_t sum, const at::Tensor& one) { return sum + one.numel(); });
  }
  double now() const { return meter_->now(); }

 private:
  double begin() {
    meter_->forget_peak();
    return meter_->now();
  }
  Batch first(std::int64_t samples) const {
    std::vector<std::int64_t> indices;
    for (std::int64_t i = 0; i < samples; ++i) indices.push_back(i % data_.size());
    return data_.get_batch(indices);
  }
  at::Tensor forward(const Batch& batch) {
    const AutocastGuard autocast(precision_, at::kCPU);
    return model_->loss(model_->forward(batch.data), batch.target);
  }

  const Dataset& data_;
  Precision precision_;
  std::shared_ptr<AllocationMeter> meter_;
  c10::DebugInfoGuard guard_;
  std::shared_ptr<Model> model_;
  std::vector<at::Tensor> parameters_;
  std::unique_ptr<Optimizer> optimizer_;
  double held_ = 0.0;
};

}  // namespace

DryRun dry_run(const TrainConfig& config, const Dataset& data) {
  Rehearsal rehearsal(config, data);
  const std::int64_t many = data.shape().sequence_length > 0 ? kManySequences : kManySamples;
  rehearsal.train(kFewSamples);  // kernels make ready, and the optimizer its memory
  const double few_bytes = rehearsal.train(kFewSamples);
  const double few_held = rehearsal.held();
  const double many_bytes = rehearsal.train(many);
  const BatchBytes held = fit_batch_bytes(kFewSamples, few_held, many, rehearsal.held());
  const double resident = peak_resident_bytes().value_or(0.0);
  DryRun result;
  result.num_parameters = rehearsal.num_parameters();
  result.overhead_bytes = std::max(0.0, resident - rehearsal.now() - many_bytes);
  result.memory.weights = rehearsal.weight_bytes();
  result.memory.gradients = rehearsal.gradient_bytes();
  result.memory.optimizer = rehearsal.optimizer_bytes();
  // With few samples a large weight's gradient may decide the peak, which grows with none; with many samples
  // what is held does.
  BatchBytes& activations = result.memory.activations;
  activations = fit_batch_bytes(kFewSamples, few_bytes, many, many_bytes);
  activations.per_sample = std::max(activations.per_sample, held.per_sample);
  activations.fixed = std::max(0.0, many_bytes - activations.per_sample * static_cast<double>(many));
  const double few_evaluated = rehearsal.evaluate(kFewSamples);
  result.memory.evaluation = fit_batch_bytes(kFewSamples, few_evaluated, many, rehearsal.evaluate(many));
  result.flops_per_sample = 3.0 * rehearsal.forward_flops(kFewSamples) / static_cast<double>(kFewSamples);
  return result;
}

}  // namespace lockstep

#include "trainer/estimate/dry_run.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/zeros_like.h>
#include <ATen/record_function.h>
#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>
#include <torch/csrc/profiler/util.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <numeric>
#include <string>
#include <string_view>
#include <vector>

#include "trainer/data_options.h"
#include "trainer/memory_format.h"
#include "trainer/metrics/peak_memory.h"
#include "trainer/model_options.h"
#include "trainer/models/models.h"
#include "trainer/optim/optimizer.h"
#include "trainer/precision.h"
#include "trainer/random_state.h"
#include "trainer/recompute/activation_checkpoint.h"
#include "trainer/update_options.h"

namespace lockstep {
namespace {

// Two samples are the fewest that batch norm takes. The more samples the second batch has, the better the
// line through both, and the longer it takes.
constexpr std::int64_t kFewSamples = 2;
constexpr std::int64_t kManySamples = 8;
constexpr std::int64_t kManySequences = 4;  // a sequence of tokens is hundreds of samples in one
// The last batch is the run's own, or what should take so long. It is measured once: batches that grew step
// by step would leave a heap behind that no run has.
constexpr double kLongestStep_s = 2.0;

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
thread_local bool counts_only_recomputed = false;

// Two products for each head: queries with keys, and weights with values. The fused kernels behind it do not
// say so.
double attention_flops(const at::RecordFunction& function) {
  const auto inputs = function.inputs();
  if (inputs.size() < 2 || !inputs[0].isTensor() || !inputs[1].isTensor()) return 0.0;
  const at::Tensor query = inputs[0].toTensor();
  const at::Tensor key = inputs[1].toTensor();
  return 4.0 * static_cast<double>(query.numel()) * static_cast<double>(key.size(-2));
}

// Counts what LibTorch's own profiler counts as a forward pass' arithmetic: all of it, or what a backward
// pass computes again.
class FlopCounter {
 public:
  explicit FlopCounter(bool only_recomputed) {
    counted_flops = 0.0;
    counts_only_recomputed = only_recomputed;
    handle_ = at::addThreadLocalCallback(
        at::RecordFunctionCallback(
            [](const at::RecordFunction& function) -> std::unique_ptr<at::ObserverContext> {
              if (counts_only_recomputed && !is_recomputing()) return nullptr;
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
        memory_format_(parse_memory_format(config.memory_format)),
        meter_(std::make_shared<AllocationMeter>()),
        guard_(c10::DebugInfoKind::PROFILER_STATE, meter_) {
    seed_everything(config.seed);
    model_ = create_model(config.model, data.shape());
    apply_model_options(config, *model_);
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
    model_->score(output_of(batch), batch.target);
    model_->train();
    return meter_->peak() - before;
  }

  double forward_flops(std::int64_t samples) {
    const at::NoGradGuard no_grad;
    const Batch batch = first(samples);
    const FlopCounter counter(/*only_recomputed=*/false);
    forward(batch);
    return counter.flops();
  }

  // Of a backward pass, in which activations are computed again.
  double recomputed_flops(std::int64_t samples) {
    const at::Tensor loss = forward(first(samples));
    const FlopCounter counter(/*only_recomputed=*/true);
    loss.backward();
    for (at::Tensor& parameter : parameters_) parameter.mutable_grad().zero_();
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
    return model_->loss(output_of(batch), batch.target);
  }
  at::Tensor output_of(const Batch& batch) { return model_->forward(laid_out(batch.data, memory_format_)); }

  const Dataset& data_;
  Precision precision_;
  at::MemoryFormat memory_format_;
  std::shared_ptr<AllocationMeter> meter_;
  c10::DebugInfoGuard guard_;
  std::shared_ptr<Model> model_;
  std::vector<at::Tensor> parameters_;
  std::unique_ptr<Optimizer> optimizer_;
  double held_ = 0.0;
};

// What one step took, and of what batch.
struct Measured {
  std::int64_t samples = 0;
  double bytes = 0.0;  // of counted tensors, at its peak
  double uncounted =
      0.0;               // what the process has besides, if `is_peak`: kernels reorder into memory of theirs
  bool is_peak = false;  // the process had never had as much
};

template <class Step>
Measured measure(const Rehearsal& rehearsal, std::int64_t samples, Step step) {
  const double before = peak_resident_bytes().value_or(0.0);
  Measured measured{.samples = samples, .bytes = step(samples)};
  const double peak = peak_resident_bytes().value_or(0.0);
  measured.uncounted = peak - rehearsal.now() - measured.bytes;
  measured.is_peak = peak > before;
  return measured;
}

// Of the largest batch that is affordable, from `samples` up to `most`.
template <class Step>
Measured measure_largest(const Rehearsal& rehearsal, std::int64_t samples, std::int64_t most, Step step) {
  using Clock = std::chrono::steady_clock;
  const auto begin = Clock::now();
  const Measured measured = measure(rehearsal, samples, step);
  const std::chrono::duration<double> took = Clock::now() - begin;
  const double affordable = static_cast<double>(samples) * kLongestStep_s / took.count();
  const auto largest = static_cast<std::int64_t>(std::min(static_cast<double>(most), affordable));
  return largest > samples ? measure(rehearsal, largest, step) : measured;
}

// By how much what is not counted grows with each sample.
double uncounted_per_sample(const Measured& few, const Measured& many) {
  if (!many.is_peak) return 0.0;
  return std::max(0.0, many.uncounted - few.uncounted) / static_cast<double>(many.samples - few.samples);
}

}  // namespace

DryRun dry_run(const TrainConfig& config, const Dataset& data) {
  Rehearsal rehearsal(config, data);
  const std::int64_t at_least = data.shape().sequence_length > 0 ? kManySequences : kManySamples;
  const auto train = [&](std::int64_t samples) { return rehearsal.train(samples); };
  const auto evaluate = [&](std::int64_t samples) { return rehearsal.evaluate(samples); };
  rehearsal.train(kFewSamples);  // kernels make ready, and the optimizer its memory
  const Measured few = measure(rehearsal, kFewSamples, train);
  const double few_held = rehearsal.held();
  // Evaluation first, as it takes less: what it adds to the process's peak could not be seen behind training.
  const Measured few_evaluated = measure(rehearsal, kFewSamples, evaluate);
  const Measured many_evaluated =
      measure_largest(rehearsal, at_least, std::max(at_least, eval_batch_size(config)), evaluate);
  const Measured many = measure_largest(rehearsal, at_least, std::max(at_least, config.batch_size), train);
  const BatchBytes held = fit_batch_bytes(kFewSamples, few_held, many.samples, rehearsal.held());
  DryRun result;
  result.num_parameters = rehearsal.num_parameters();
  result.kernels_per_sample = uncounted_per_sample(few, many);
  result.kernels_per_evaluated_sample = uncounted_per_sample(few, many_evaluated);
  const Measured& last = many.is_peak ? many : few;
  result.overhead_bytes =
      std::max(0.0, last.uncounted - result.kernels_per_sample * static_cast<double>(last.samples));
  result.memory.weights = rehearsal.weight_bytes();
  result.memory.gradients = rehearsal.gradient_bytes();
  result.memory.optimizer = rehearsal.optimizer_bytes();
  // With few samples a large weight's gradient may decide the peak, which grows with none; with many samples
  // what is held does.
  BatchBytes& activations = result.memory.activations;
  activations = fit_batch_bytes(kFewSamples, few.bytes, many.samples, many.bytes);
  activations.per_sample = std::max(activations.per_sample, held.per_sample);
  activations.fixed = std::max(0.0, many.bytes - activations.per_sample * static_cast<double>(many.samples));
  result.memory.evaluation =
      fit_batch_bytes(kFewSamples, few_evaluated.bytes, many_evaluated.samples, many_evaluated.bytes);
  double flops = 3.0 * rehearsal.forward_flops(kFewSamples);
  if (config.activation_checkpointing) flops += rehearsal.recomputed_flops(kFewSamples);
  result.flops_per_sample = flops / static_cast<double>(kFewSamples);
  return result;
}

}  // namespace lockstep

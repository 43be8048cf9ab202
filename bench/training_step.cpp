#include "bench/training_step.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/where.h>

#include "bench/flop_counter.h"
#include "trainer/memory_format.h"
#include "trainer/models/models.h"

namespace lockstep {
namespace {

constexpr at::ScalarType kInt64 = at::kLong;
constexpr std::int64_t kGpt2Tokens = 50'257;  // the published models' vocabularies
constexpr std::int64_t kBertTokens = 30'522;

}  // namespace

OptimizerOptions TrainingStep::optimizer_options(at::Device device) {
  OptimizerOptions options;
  options.lr = 0.01;
  options.momentum = 0.9;
  options.fused = device.is_cuda();
  return options;
}

DatasetShape TrainingStep::shape_of(const Workload& workload) {
  const TokenNeeds needs = token_needs(workload.model);
  if (needs.sequence_length == 0) return {workload.sample_sizes, workload.num_classes};
  const bool next = needs.task == TokenTask::kNextToken;
  DatasetShape shape;
  shape.sequence_length = workload.sequence_length > 0 ? workload.sequence_length : needs.sequence_length;
  shape.vocabulary_size = workload.vocabulary_size > 0 ? workload.vocabulary_size
                          : next                       ? kGpt2Tokens
                                                       : kBertTokens;
  shape.sample_sizes = {shape.sequence_length};
  if (!next) shape.sample_sizes.insert(shape.sample_sizes.begin(), 2);
  return shape;
}

TrainingStep::TrainingStep(const Workload& workload, int rank, const StepPlace& place) : place_(place) {
  const DatasetShape shape = shape_of(workload);
  model = workload.hidden.empty() ? create_model(workload.model, shape) : create_mlp(shape, workload.hidden);
  auto generator = at::detail::createCPUGenerator(static_cast<std::uint64_t>(1000 + rank));
  tokens_per_sample = shape.sequence_length;
  if (tokens_per_sample > 0) {
    draw_tokens(shape, workload.batch_size, generator);
  } else {
    std::vector<std::int64_t> sizes = {workload.batch_size};
    sizes.insert(sizes.end(), workload.sample_sizes.begin(), workload.sample_sizes.end());
    data = at::randn(sizes, generator);
    target = at::randint(workload.num_classes, {workload.batch_size}, generator, kInt64);
  }
  move_to_place();
}

void TrainingStep::move_to_place() {
  model->to(place_.device);
  data = data.to(place_.device);
  target = target.to(place_.device);
  if (place_.channels_last) {
    lay_out_weights(*model, at::MemoryFormat::ChannelsLast);
    data = laid_out(data, at::MemoryFormat::ChannelsLast);
  }
  optimizer = create_optimizer("sgd", model->parameters(), optimizer_options(place_.device));
}

void TrainingStep::draw_tokens(const DatasetShape& shape, std::int64_t batch,
                               const at::Generator& generator) {
  const std::int64_t length = shape.sequence_length;
  const at::Tensor tokens = at::randint(shape.vocabulary_size, {batch, length}, generator, kInt64);
  if (shape.sample_sizes.size() == 1) {
    data = tokens;
    target = at::randint(shape.vocabulary_size, {batch, length}, generator, kInt64);
    return;
  }
  // Two passages of equal length; every seventh token, about 15 %, is to be predicted.
  constexpr std::int64_t kEvery = 7;
  constexpr std::int64_t kNotCounted = -100;
  const at::Tensor places = at::arange(length, kInt64);
  const at::Tensor segments = places.ge(length / 2).to(kInt64).expand({batch, length});
  data = at::stack({tokens, segments}, 1).contiguous();
  const at::Tensor predicted = at::where(places.remainder(kEvery).eq(0), tokens, kNotCounted);
  target = at::cat({predicted, at::randint(2, {batch, 1}, generator, kInt64)}, 1);
}

double TrainingStep::count_flop() {
  const FlopCounter counter;
  const AutocastGuard autocast(place_.precision, place_.device.type());
  model->forward(data);
  constexpr double kForwardAndBackward = 3;
  return kForwardAndBackward * counter.flop();
}

at::Tensor TrainingStep::loss(const std::function<at::Tensor(const at::Tensor&)>& forward) {
  optimizer->zero_grad();
  const AutocastGuard autocast(place_.precision, place_.device.type());
  return model->loss(forward(data), target);
}

void TrainingStep::backward(const std::function<at::Tensor(const at::Tensor&)>& forward) {
  loss(forward).backward();
}

}  // namespace lockstep

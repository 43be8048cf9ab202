#include "comm/sync_batch_norm.h"

#include <ATen/ops/addcmul.h>
#include <ATen/ops/batch_norm_update_stats.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/native_batch_norm.h>
#include <ATen/ops/native_batch_norm_backward.h>
#include <ATen/ops/sub.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>
#include <ostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

namespace lockstep {
namespace {

// Statistics are C numbers per rank: in double precision they cost nothing, and combining ranks loses
// nothing.
at::TensorOptions statistics_options(const at::Tensor& input) {
  return at::TensorOptions().dtype(at::kDouble).device(input.device());
}

// What normalising is done with, beside inputs of half the width.
at::ScalarType working_dtype(const at::Tensor& input) {
  return input.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

at::Tensor as(const at::Tensor& tensor, at::ScalarType dtype) {
  return tensor.defined() ? tensor.to(dtype) : tensor;
}

std::int64_t values_per_channel(const at::Tensor& input) {
  return input.numel() == 0 ? 0 : input.numel() / input.size(1);
}

struct Statistics {
  at::Tensor mean;      // (C), float64
  at::Tensor variance;  // (C), float64, biased
  at::Tensor count;     // (1), float64: values per channel, all ranks together
};

// This rank's mean, biased variance and count, as one message (2 C + 1).
at::Tensor local_statistics(const at::Tensor& input) {
  const std::int64_t count = values_per_channel(input);
  const auto options = statistics_options(input);
  if (count == 0) return at::zeros({2 * input.size(1) + 1}, options);
  const auto [mean, variance] = at::batch_norm_update_stats(input.to(working_dtype(input)), {}, {}, 0.0);
  return at::cat({mean.to(at::kDouble), variance.to(at::kDouble), at::full({1}, count, options)});
}

// The pooled mean and variance of groups (Chan, Golub and LeVeque 1979): the same operations on the same
// numbers on every rank, hence the same bits.
Statistics global_statistics(const at::Tensor& input, Communicator& communicator) {
  const std::int64_t channels = input.size(1);
  const at::Tensor mine = local_statistics(input);
  const at::Tensor all = at::empty({communicator.world_size(), mine.numel()}, mine.options());
  communicator.all_gather(all, mine)->wait();
  const at::Tensor means = all.narrow(1, 0, channels);
  const at::Tensor variances = all.narrow(1, channels, channels);
  const at::Tensor counts = all.narrow(1, 2 * channels, 1);
  Statistics global;
  global.count = counts.sum(0);
  // A rank with two values knows the answer; only the others need to read it, which on a GPU stops the host.
  if (values_per_channel(input) < 2 && global.count.item<double>() < 2.0) {
    throw std::invalid_argument(
        "SyncBatchNorm: Expected more than 1 value per channel when training, got " +
        std::to_string(static_cast<std::int64_t>(global.count.item<double>())) +
        " on the ranks that normalise together; give the ranks larger batches, or drop the last one");
  }
  global.mean = (means * counts).sum(0) / global.count;
  global.variance = ((variances + (means - global.mean).square()) * counts).sum(0) / global.count;
  return global;
}

// A per-channel tensor (C) in a shape that broadcasts over `input`'s (N, C, ...).
at::Tensor per_channel(const at::Tensor& values, const at::Tensor& input) {
  std::vector<std::int64_t> sizes(static_cast<std::size_t>(input.dim()), 1);
  sizes[1] = values.numel();
  return values.to(working_dtype(input)).view(sizes);
}

// How a communicator travels from the forward pass to the backward pass.
struct CommunicatorHolder final : torch::CustomClassHolder {
  explicit CommunicatorHolder(CommunicatorPtr held) : communicator(std::move(held)) {}
  CommunicatorPtr communicator;
};

// Autograd takes an absent parameter as nullopt only.
std::optional<at::Tensor> optional(const at::Tensor& tensor) {
  return tensor.defined() ? std::optional(tensor) : std::nullopt;
}

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Normalising by given statistics is batch norm in eval mode, so LibTorch's kernels do the large work. Only
// the gradient of the input has terms of its own: it flows through the statistics of all ranks, too.
struct SyncBatchNormFunction final : torch::autograd::Function<SyncBatchNormFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& input,
                            const std::optional<at::Tensor>& given_weight,
                            const std::optional<at::Tensor>& given_bias, const Statistics& statistics,
                            double eps, const CommunicatorPtr& communicator) {
    const at::Tensor weight = given_weight.value_or(at::Tensor());
    const at::Tensor bias = given_bias.value_or(at::Tensor());
    context->save_for_backward({input, weight, statistics.mean, statistics.variance, statistics.count});
    context->saved_data["eps"] = eps;
    context->saved_data["communicator"] =
        c10::IValue::make_capsule(c10::make_intrusive<CommunicatorHolder>(communicator));
    const at::ScalarType dtype = working_dtype(input);
    return std::get<0>(at::native_batch_norm(input, as(weight, dtype), as(bias, dtype),
                                             as(statistics.mean, dtype), as(statistics.variance, dtype),
                                             /*training=*/false, /*momentum=*/0.0, eps));
  }

  static variable_list backward(AutogradContext* context, const variable_list& output_gradients) {
    if (at::GradMode::is_enabled()) {
      throw std::runtime_error("SyncBatchNorm cannot be differentiated twice; leave create_graph out");
    }
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &input = saved[0], &weight = saved[1], &mean = saved[2], &variance = saved[3],
                     &count = saved[4];
    const double eps = context->saved_data["eps"].toDouble();
    Communicator& communicator = *c10::static_intrusive_pointer_cast<CommunicatorHolder>(
                                      context->saved_data["communicator"].toCapsule())
                                      ->communicator;
    const at::Tensor& gradient = output_gradients[0];
    const std::int64_t channels = input.size(1);
    const at::ScalarType dtype = working_dtype(input);

    const at::Tensor inverse_deviation = (variance + eps).rsqrt();
    at::Tensor weight_gradient;  // sum of dy (x - mean) / deviation over this rank's values
    at::Tensor bias_gradient;    // sum of dy
    if (input.numel() > 0) {
      std::tie(std::ignore, weight_gradient, bias_gradient) = at::native_batch_norm_backward(
          gradient, input, as(weight, dtype), as(mean, dtype), as(variance, dtype), as(mean, dtype),
          as(inverse_deviation, dtype), /*train=*/false, eps, {false, true, true});
    } else {
      weight_gradient = bias_gradient = at::zeros({channels}, input.options().dtype(dtype));
    }

    at::Tensor input_gradient;
    if (context->needs_input_grad(0)) {
      const at::Tensor sums = at::cat({bias_gradient.to(at::kDouble), weight_gradient.to(at::kDouble)});
      communicator.all_reduce(sums)->wait();
      const at::Tensor mean_dy = sums.narrow(0, 0, channels) / count;
      const at::Tensor mean_dy_normalized = sums.narrow(0, channels, channels) / count;
      // dx = w / s (dy - mean(dy) - (x - mean) / s * mean(dy (x - mean) / s))
      at::Tensor scale = inverse_deviation;
      if (weight.defined()) scale = scale * weight.to(at::kDouble);
      const at::Tensor centered = at::sub(input.to(dtype), per_channel(mean, input));
      input_gradient = at::addcmul(per_channel(-scale * mean_dy, input), centered,
                                   per_channel(-scale * inverse_deviation * mean_dy_normalized, input))
                           .addcmul_(gradient.to(dtype), per_channel(scale, input))
                           .to(input.scalar_type());
    }
    if (!weight.defined()) return {input_gradient, {}, {}, {}, {}, {}};
    return {input_gradient,
            as(weight_gradient, weight.scalar_type()),
            as(bias_gradient, weight.scalar_type()),
            {},
            {},
            {}};
  }
};

// As BatchNorm does it: the unbiased variance, and a mean over all batches where momentum is none.
void update_running_statistics(SyncBatchNormImpl& norm, const Statistics& batch) {
  norm.num_batches_tracked += 1;
  const auto momentum = norm.options.momentum();
  const double weight = momentum ? *momentum : 1.0 / norm.num_batches_tracked.item<double>();
  const auto update = [&](at::Tensor& running, const at::Tensor& value) {
    running.copy_(running.to(at::kDouble) * (1.0 - weight) + value * weight);
  };
  update(norm.running_mean, batch.mean);
  update(norm.running_var, batch.variance * (batch.count / (batch.count - 1.0)));
}

}  // namespace

at::Tensor SyncBatchNormImpl::forward(const at::Tensor& input) {
  if (!is_synchronized() || !is_training()) return BatchNormImplBase::forward(input);
  _check_input_dim(input);
  Statistics statistics;
  {
    const at::NoGradGuard no_grad;
    statistics = global_statistics(input.detach(), *communicator_);
    if (options.track_running_stats()) update_running_statistics(*this, statistics);
  }
  return SyncBatchNormFunction::apply(input, optional(weight), optional(bias), statistics, options.eps(),
                                      communicator_);
}

void SyncBatchNormImpl::_check_input_dim(const at::Tensor& input) {
  if (input.dim() >= 2 && input.size(1) == options.num_features()) return;
  std::ostringstream sizes;
  sizes << input.sizes();
  throw std::invalid_argument("SyncBatchNorm: its input has the sizes " + sizes.str() +
                              ", but has to be (N, " + std::to_string(options.num_features()) + ", ...)");
}

void SyncBatchNormImpl::pretty_print(std::ostream& stream) const {
  stream << "lockstep::SyncBatchNorm(" << options.num_features() << ", eps=" << options.eps()
         << ", momentum=";
  if (options.momentum()) {
    stream << *options.momentum();
  } else {
    stream << "None";
  }
  stream << std::boolalpha << ", affine=" << options.affine()
         << ", track_running_stats=" << options.track_running_stats()
         << ", ranks=" << (communicator_ ? communicator_->world_size() : 1) << ')';
}

std::int64_t convert_sync_batch_norm(torch::nn::Module& module, const CommunicatorPtr& communicator) {
  std::vector<SyncBatchNormImpl*> norms;
  std::string fixed;
  const auto visit = [&](const std::string& name, torch::nn::Module& visited) {
    if (auto* norm = dynamic_cast<SyncBatchNormImpl*>(&visited)) norms.push_back(norm);
    const bool is_fixed = dynamic_cast<torch::nn::BatchNorm1dImpl*>(&visited) != nullptr ||
                          dynamic_cast<torch::nn::BatchNorm2dImpl*>(&visited) != nullptr ||
                          dynamic_cast<torch::nn::BatchNorm3dImpl*>(&visited) != nullptr;
    if (is_fixed) fixed += (fixed.empty() ? "" : ", ") + name;
  };
  visit("the module itself", module);
  for (const auto& item : module.named_modules("", /*include_self=*/false)) visit(item.key(), *item.value());
  if (!fixed.empty()) {
    throw std::invalid_argument(
        "a torch::nn::BatchNorm cannot be synchronised in place; declare as "
        "lockstep::SyncBatchNorm: " +
        fixed);
  }
  for (SyncBatchNormImpl* norm : norms) norm->set_communicator(communicator);
  return static_cast<std::int64_t>(norms.size());
}

}  // namespace lockstep

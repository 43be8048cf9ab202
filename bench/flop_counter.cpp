// The formulas are those of torch/utils/flop_counter.py of PyTorch 2.11.
#include "bench/flop_counter.h"

#include <ATen/core/Tensor.h>

#include <numeric>
#include <string_view>

namespace lockstep {
namespace {

thread_local double counted_flop = 0;

using Sizes = at::IntArrayRef;

double product(Sizes sizes) {
  return std::accumulate(sizes.begin(), sizes.end(), 1.0,
                         [](double all, std::int64_t size) { return all * static_cast<double>(size); });
}

Sizes sizes_of(const c10::IValue& value) {
  return value.isTensor() && value.toTensor().defined() ? value.toTensor().sizes() : Sizes();
}

// (m, k) times (k, n).
double of_mm(Sizes a, Sizes b) {
  return a.size() == 2 && b.size() == 2 ? 2 * product(a) * static_cast<double>(b[1]) : 0;
}

// (batch, m, k) times (batch, k, n).
double of_bmm(Sizes a, Sizes b) {
  return a.size() == 3 && b.size() == 3 ? 2 * product(a) * static_cast<double>(b[2]) : 0;
}

// (batch, heads, queries, width), (..., keys, width), (..., keys, width): the scores and what is made of
// them.
double of_attention(Sizes query, Sizes key, Sizes value) {
  if (query.size() != 4 || key.size() != 4 || value.size() != 4) return 0;
  const double scores = product(query) * static_cast<double>(key[2]);
  const double values =
      product(query.slice(0, 3)) * static_cast<double>(key[2]) * static_cast<double>(value[3]);
  return 2 * (scores + values);
}

// Each element of the output (batch, out, ...) is a sum over a filter: weight (out, in / groups, ...).
double of_convolution(Sizes input, Sizes weight, const std::vector<std::int64_t>& stride,
                      const std::vector<std::int64_t>& padding, const std::vector<std::int64_t>& dilation) {
  if (input.size() < 3 || weight.size() != input.size()) return 0;
  double places = 1;
  for (std::size_t i = 2; i < input.size(); ++i) {
    const auto at = [&](const std::vector<std::int64_t>& list) {
      return list.empty() ? 1 : list[list.size() == 1 ? 0 : i - 2];
    };
    const std::int64_t span = at(dilation) * (weight[i] - 1) + 1;
    places *= static_cast<double>((input[i] + 2 * at(padding) - span) / at(stride) + 1);
  }
  return 2 * static_cast<double>(input[0]) * places * product(weight);
}

double of_call(std::string_view name, c10::ArrayRef<const c10::IValue> inputs) {
  if (name == "aten::mm" && inputs.size() >= 2) return of_mm(sizes_of(inputs[0]), sizes_of(inputs[1]));
  if (name == "aten::addmm" && inputs.size() >= 3) return of_mm(sizes_of(inputs[1]), sizes_of(inputs[2]));
  if (name == "aten::bmm" && inputs.size() >= 2) return of_bmm(sizes_of(inputs[0]), sizes_of(inputs[1]));
  if (name == "aten::baddbmm" && inputs.size() >= 3) return of_bmm(sizes_of(inputs[1]), sizes_of(inputs[2]));
  // One of the fused kernels; what is not fused comes as products.
  if (name.starts_with("aten::_scaled_dot_product_") && !name.ends_with("_math") && inputs.size() >= 3)
    return of_attention(sizes_of(inputs[0]), sizes_of(inputs[1]), sizes_of(inputs[2]));
  if (name == "aten::convolution" && inputs.size() >= 7 && !inputs[6].toBool()) {
    return of_convolution(sizes_of(inputs[0]), sizes_of(inputs[1]), inputs[3].toIntVector(),
                          inputs[4].toIntVector(), inputs[5].toIntVector());
  }
  return 0;
}

std::unique_ptr<at::ObserverContext> on_call(const at::RecordFunction& call) {
  counted_flop += of_call(call.name(), call.inputs());
  return nullptr;
}

}  // namespace

FlopCounter::FlopCounter()
    : handle_(at::addThreadLocalCallback(
          at::RecordFunctionCallback(on_call).needsInputs(true).scopes({at::RecordScope::FUNCTION}))) {
  counted_flop = 0;
}

FlopCounter::~FlopCounter() {
  at::removeCallback(handle_);
}

double FlopCounter::flop() const {
  return counted_flop;
}

}  // namespace lockstep

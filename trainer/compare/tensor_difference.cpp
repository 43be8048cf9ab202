#include "trainer/compare/tensor_difference.h"

#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include <bit>
#include <cmath>
#include <map>
#include <sstream>
#include <type_traits>

#include "sampler/data_error.h"

namespace lockstep {
namespace {

std::string describe(const at::Tensor& tensor) {
  std::ostringstream text;
  text << c10::toString(tensor.scalar_type()) << tensor.sizes();
  return text.str();
}

// Numbers of one dtype in their order, one apart from the next: floating-point bits are so but for the sign.
template <class Bits>
std::int64_t ordered(Bits bits) {
  using Signed = std::make_signed_t<Bits>;
  const auto number = static_cast<Signed>(bits);
  const std::int64_t magnitude = static_cast<std::int64_t>(number & std::numeric_limits<Signed>::max());
  return number < 0 ? -magnitude : magnitude;
}

template <class Number>
struct BitsOf {
  using type = std::conditional_t<
      sizeof(Number) == 8, std::uint64_t,
      std::conditional_t<sizeof(Number) == 4, std::uint32_t,
                         std::conditional_t<sizeof(Number) == 2, std::uint16_t, std::uint8_t>>>;
};

template <class Number>
constexpr bool kIsFloating = std::is_floating_point_v<Number> || std::is_same_v<Number, c10::Half> ||
                             std::is_same_v<Number, c10::BFloat16>;

template <class Number>
std::uint64_t ulps_between(Number a, Number b) {
  std::int64_t from = 0, to = 0;
  if constexpr (kIsFloating<Number>) {
    from = ordered(std::bit_cast<typename BitsOf<Number>::type>(a));
    to = ordered(std::bit_cast<typename BitsOf<Number>::type>(b));
  } else {
    from = static_cast<std::int64_t>(a);
    to = static_cast<std::int64_t>(b);
  }
  const auto difference = static_cast<std::uint64_t>(to) - static_cast<std::uint64_t>(from);
  return to >= from ? difference : ~difference + 1;
}

ElementPair pair_at(const std::string& name, const at::Tensor& a, std::int64_t flat, double left,
                    double right) {
  ElementPair pair{name, {}, left, right};
  pair.index.resize(static_cast<std::size_t>(a.dim()));
  for (std::int64_t d = a.dim(); d-- > 0;) {
    pair.index[static_cast<std::size_t>(d)] = flat % a.size(d);
    flat /= a.size(d);
  }
  return pair;
}

template <class Number>
void compare_as(const std::string& name, const at::Tensor& a, const at::Tensor& b, TensorDifference& found) {
  const at::Tensor left = a.contiguous(), right = b.contiguous();
  const auto* x = static_cast<const Number*>(left.const_data_ptr());
  const auto* y = static_cast<const Number*>(right.const_data_ptr());
  using Bits = typename BitsOf<Number>::type;
  std::int64_t different = 0;
  for (std::int64_t i = 0; i < left.numel(); ++i) {
    if (std::bit_cast<Bits>(x[i]) == std::bit_cast<Bits>(y[i])) continue;
    const auto from = static_cast<double>(x[i]), to = static_cast<double>(y[i]);
    if (!found.first) found.first = pair_at(name, left, i, from, to);
    ++different;
    if (std::isnan(from) || std::isnan(to)) {
      ++found.not_a_number;
      continue;
    }
    const std::uint64_t ulps = ulps_between(x[i], y[i]);
    if (ulps > found.largest_ulps || !found.largest_ulps_at) {
      found.largest_ulps = ulps;
      found.largest_ulps_at = pair_at(name, left, i, from, to);
    }
    const double absolute = std::abs(from - to);
    if (absolute > found.largest_absolute || !found.largest_absolute_at) {
      found.largest_absolute = absolute;
      found.largest_absolute_at = pair_at(name, left, i, from, to);
    }
  }
  found.elements_different += different;
  if (different > 0) ++found.tensors_different;
}

void compare_pair(const std::string& name, const at::Tensor& a, const at::Tensor& b,
                  TensorDifference& found) {
  switch (a.scalar_type()) {
    case at::kDouble:
      return compare_as<double>(name, a, b, found);
    case at::kFloat:
      return compare_as<float>(name, a, b, found);
    case at::kHalf:
      return compare_as<c10::Half>(name, a, b, found);
    case at::kBFloat16:
      return compare_as<c10::BFloat16>(name, a, b, found);
    case at::kLong:
      return compare_as<std::int64_t>(name, a, b, found);
    case at::kInt:
      return compare_as<std::int32_t>(name, a, b, found);
    case at::kShort:
      return compare_as<std::int16_t>(name, a, b, found);
    case at::kChar:
      return compare_as<std::int8_t>(name, a, b, found);
    case at::kByte:
      return compare_as<std::uint8_t>(name, a, b, found);
    case at::kBool:
      return compare_as<bool>(name, a, b, found);
    default:
      throw DataError("tensor " + name + " is of dtype " + c10::toString(a.scalar_type()) +
                      ", which lockstep compare does not know");
  }
}

}  // namespace

TensorDifference compare_tensors(const NamedTensors& a, const NamedTensors& b) {
  TensorDifference found;
  std::map<std::string, at::Tensor> others;
  for (const auto& [name, tensor] : b) others.emplace(name, tensor);
  for (const auto& [name, tensor] : a) {
    const auto other = others.find(name);
    if (other == others.end()) {
      found.only_in_a.push_back(name);
      continue;
    }
    if (tensor.scalar_type() != other->second.scalar_type() || tensor.sizes() != other->second.sizes()) {
      found.misshapen.push_back(name + " is " + describe(tensor) + " in A and " + describe(other->second) +
                                " in B");
    } else {
      ++found.tensors;
      found.elements += tensor.numel();
      compare_pair(name, tensor, other->second, found);
    }
    others.erase(other);
  }
  for (const auto& [name, tensor] : b) {
    if (others.contains(name)) found.only_in_b.push_back(name);
  }
  return found;
}

}  // namespace lockstep

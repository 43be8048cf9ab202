#include "trainer/checkpoint/named_tensors.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <map>
#include <sstream>
#include <string_view>

#include "sampler/data_error.h"
#include "sampler/nearest_name.h"

namespace lockstep {
namespace {

constexpr std::string_view kDdpPrefix = "module.";

std::string describe(const at::Tensor& tensor) {
  std::ostringstream text;
  text << c10::toString(tensor.scalar_type()) << tensor.sizes();
  return text.str();
}

bool all_prefixed(const NamedTensors& tensors) {
  return !tensors.empty() && std::all_of(tensors.begin(), tensors.end(),
                                         [](const auto& item) { return item.first.starts_with(kDdpPrefix); });
}

// Collects names under one heading; gives "; missing: a, b" or nothing.
class Complaint {
 public:
  explicit Complaint(std::string heading) : heading_(std::move(heading)) {}
  void add(const std::string& item) { items_ += (items_.empty() ? "" : ", ") + item; }
  std::string text() const { return items_.empty() ? "" : "; " + heading_ + ": " + items_; }

 private:
  std::string heading_, items_;
};

// Takes the pairs that a typing error or a renamed module would explain out of `missing` and `extra`: of one
// shape and dtype, and spelt alike.
std::vector<std::pair<std::string, std::string>> take_misnamed(std::map<std::string, at::Tensor>& missing,
                                                               std::map<std::string, at::Tensor>& extra) {
  constexpr std::size_t kMostCompared = 10'000;  // pairs; the distance is quadratic in the names' lengths
  std::vector<std::pair<std::string, std::string>> pairs;
  if (missing.size() * extra.size() > kMostCompared) return pairs;
  for (auto wanted = missing.begin(); wanted != missing.end();) {
    std::vector<std::string> alike;
    for (const auto& [name, tensor] : extra) {
      if (describe(tensor) == describe(wanted->second) &&
          edit_distance(name, wanted->first) <= std::max<std::size_t>(2, wanted->first.size() / 3))
        alike.push_back(name);
    }
    if (alike.empty()) {
      ++wanted;
      continue;
    }
    pairs.emplace_back(wanted->first, nearest_name(wanted->first, alike));
    extra.erase(pairs.back().second);
    wanted = missing.erase(wanted);
  }
  return pairs;
}

}  // namespace

NamedTensors without_ddp_prefix(NamedTensors tensors) {
  if (!all_prefixed(tensors)) return tensors;
  for (auto& [name, tensor] : tensors) name.erase(0, kDdpPrefix.size());
  return tensors;
}

void load_into(const NamedTensors& from, const NamedTensors& into, const std::string& source,
               const std::string& advice) {
  const bool drop_prefix = all_prefixed(from) && !all_prefixed(into);
  Complaint missing("missing"), extra("not in the model"), misnamed("misnamed"), twice("given twice"),
      different("different");

  std::map<std::string, at::Tensor> given;
  for (const auto& [name, tensor] : from) {
    const std::string key = drop_prefix ? name.substr(kDdpPrefix.size()) : name;
    if (!given.emplace(key, tensor).second) twice.add(key);
  }
  std::vector<std::pair<at::Tensor, at::Tensor>> copies;  // to, from
  std::map<std::string, at::Tensor> not_given;
  for (const auto& [name, target] : into) {
    const auto found = given.find(name);
    if (found == given.end()) {
      not_given.emplace(name, target);
      continue;
    }
    const at::Tensor& value = found->second;
    if (value.sizes() != target.sizes() || value.scalar_type() != target.scalar_type()) {
      different.add(name + " is " + describe(value) + " where the model has " + describe(target));
    }
    copies.emplace_back(target, value);
    given.erase(found);
  }
  for (const auto& [wanted, name] : take_misnamed(not_given, given)) misnamed.add(name + " for " + wanted);
  for (const auto& [name, tensor] : not_given) missing.add(name);
  for (const auto& [name, tensor] : given) extra.add(name);

  const std::string complaints =
      missing.text() + extra.text() + misnamed.text() + twice.text() + different.text();
  if (!complaints.empty()) {
    throw DataError(source + " does not hold this model's state" + complaints + "; " + advice);
  }
  const at::NoGradGuard no_grad;
  for (auto& [target, value] : copies) target.copy_(value);
}

}  // namespace lockstep

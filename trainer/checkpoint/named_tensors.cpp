#include "trainer/checkpoint/named_tensors.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <map>
#include <sstream>
#include <string_view>

#include "sampler/data_error.h"

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

}  // namespace

void load_into(const NamedTensors& from, const NamedTensors& into, const std::string& source) {
  const bool drop_prefix = all_prefixed(from) && !all_prefixed(into);
  Complaint missing("missing"), extra("not in the model"), twice("given twice"), different("different");

  std::map<std::string, at::Tensor> given;
  for (const auto& [name, tensor] : from) {
    const std::string key = drop_prefix ? name.substr(kDdpPrefix.size()) : name;
    if (!given.emplace(key, tensor).second) twice.add(key);
  }
  std::vector<std::pair<at::Tensor, at::Tensor>> copies;  // to, from
  for (const auto& [name, target] : into) {
    const auto found = given.find(name);
    if (found == given.end()) {
      missing.add(name);
      continue;
    }
    const at::Tensor& value = found->second;
    if (value.sizes() != target.sizes() || value.scalar_type() != target.scalar_type()) {
      different.add(name + " is " + describe(value) + " where the model has " + describe(target));
    }
    copies.emplace_back(target, value);
    given.erase(found);
  }
  for (const auto& [name, tensor] : given) extra.add(name);

  const std::string complaints = missing.text() + extra.text() + twice.text() + different.text();
  if (!complaints.empty()) {
    throw DataError(source + " does not hold this model's state" + complaints +
                    "; choose the --model that was saved, or start over with --fresh");
  }
  const at::NoGradGuard no_grad;
  for (auto& [target, value] : copies) target.copy_(value);
}

}  // namespace lockstep

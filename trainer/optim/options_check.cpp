#include "trainer/optim/options_check.h"

#include <cmath>
#include <set>
#include <sstream>
#include <stdexcept>

#include "sampler/data_error.h"

namespace lockstep {
namespace {

[[noreturn]] void fail(const std::string& what, const std::string& range, double value) {
  std::ostringstream text;
  text << what << " must be " << range << ", not " << value;
  throw std::invalid_argument(text.str());
}

std::string describe(at::ScalarType type, at::IntArrayRef sizes) {
  std::ostringstream text;
  text << c10::toString(type) << sizes;
  return text.str();
}

}  // namespace

void require_non_negative(const std::string& what, double value) {
  if (!std::isfinite(value) || value < 0) fail(what, "a number of at least 0", value);
}

void require_beta(const std::string& what, double value) {
  if (!(value >= 0 && value < 1)) fail(what, "at least 0 and below 1", value);
}

void require_parameters(const std::vector<at::Tensor>& parameters) {
  if (parameters.empty())
    throw std::invalid_argument("the optimizer got no parameters: the model has none to train");
  std::set<const void*> seen;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const at::Tensor& parameter = parameters[i];
    const std::string which = "the optimizer's parameter " + std::to_string(i);
    if (!parameter.defined() || !parameter.is_floating_point()) {
      throw std::invalid_argument(which + " is not a floating-point tensor");
    }
    if (!parameter.is_leaf())
      throw std::invalid_argument(which + " is computed from others and cannot be trained");
    if (!seen.insert(parameter.unsafeGetTensorImpl()).second)
      throw std::invalid_argument(which + " is given twice");
  }
}

void StateComplaints::add(const OptimizerStateEntry& entry, const std::string& reason) {
  complaints_ += (complaints_.empty() ? "" : ", ") + entry.name + " of parameter " +
                 std::to_string(entry.parameter_index) + " " + reason;
}

void StateComplaints::require_like(const OptimizerStateEntry& entry, at::ScalarType type,
                                   at::IntArrayRef sizes) {
  if (!entry.value.defined()) {
    add(entry, "has no value");
  } else if (entry.value.scalar_type() != type || entry.value.sizes() != sizes) {
    add(entry, "is " + describe(entry.value.scalar_type(), entry.value.sizes()) + " instead of " +
                   describe(type, sizes));
  }
}

void StateComplaints::finish() const {
  if (complaints_.empty()) return;
  throw DataError("the saved optimizer state does not fit " + optimizer_ + " and this model: " + complaints_ +
                  "; choose the options that it was saved with, or start over with --fresh");
}

}  // namespace lockstep

#include "trainer/cost/budget.h"

#include <utility>

namespace lockstep {

Budget::Budget(double amount, double stop, std::string currency)
    : amount_(amount), stop_(stop), currency_(std::move(currency)) {}

bool Budget::crosses_mark(const CostMeter& meter, double more_s, double others) const {
  return meter.spend_after(more_s).amount.value_or(0.0) + others > mark();
}

std::string Budget::describe() const {
  return "the budget of " + format_money(amount_, currency_) + " (mark: " + format_money(mark(), currency_) +
         ")";
}

}  // namespace lockstep

#include "trainer/cost/cost_meter.h"

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <string>
#include <utility>

namespace lockstep {

CostMeter::CostMeter(Tariff tariff, int gpus, MeterStart start, Clock clock)
    : tariff_(std::move(tariff)),
      gpus_(gpus),
      start_(std::move(start)),
      clock_(std::move(clock)),
      begin_s_(clock_() - start_.running_s) {
  check_price(tariff_.price);
  if (gpus < 1)
    throw std::invalid_argument("a run on " + std::to_string(gpus) + " GPUs costs nothing; use at least 1");
  if (start_.earlier.amount && start_.earlier.currency != tariff_.price.currency) {
    throw std::invalid_argument("earlier attempts cost " + start_.earlier.currency + ", this one " +
                                tariff_.price.currency + "; sums are made within one currency only");
  }
}

double CostMeter::running_s() const {
  return clock_() - begin_s_;
}

Spend CostMeter::spend_after(double more_s) const {
  const double running = running_s() + more_s;
  Spend sum{.gpu_hours = start_.earlier.gpu_hours + running / 3600.0 * gpus_,
            .amount = start_.earlier.amount,
            .currency = tariff_.price.currency};
  if (tariff_.price.is_known()) {
    const double billed = billed_seconds(tariff_.billing, start_.interval_s + running);
    sum.amount = sum.amount.value_or(0.0) + *spend_of(tariff_.price, gpus_, billed).amount +
                 storage_amount(tariff_.storage, running);
  }
  return sum;
}

Spend CostMeter::to_finish(double remaining_s) const {
  Spend more = spend_of(tariff_.price, gpus_, remaining_s);
  // Time goes on between the two.
  if (more.amount) more.amount = std::max(0.0, *spend_after(remaining_s).amount - *spend().amount);
  return more;
}

Spend CostMeter::per_epoch(double epochs) const {
  if (!(epochs > 0.0))
    throw std::invalid_argument("the cost per epoch needs an epoch, or a part of one, to be done");
  Spend share = spend();
  share.gpu_hours /= epochs;
  if (share.amount) *share.amount /= epochs;
  return share;
}

double CostMeter::monotonic_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace lockstep

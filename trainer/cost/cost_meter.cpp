#include "trainer/cost/cost_meter.h"

#include <chrono>
#include <stdexcept>
#include <string>
#include <utility>

namespace lockstep {

CostMeter::CostMeter(Price price, int gpus, Spend earlier, Clock clock)
    : price_(std::move(price)),
      gpus_(gpus),
      earlier_(std::move(earlier)),
      clock_(std::move(clock)),
      start_s_(clock_()) {
  check_price(price_);
  if (gpus < 1)
    throw std::invalid_argument("a run on " + std::to_string(gpus) + " GPUs costs nothing; use at least 1");
  if (earlier_.amount && earlier_.currency != price_.currency) {
    throw std::invalid_argument("earlier attempts cost " + earlier_.currency + ", this one " +
                                price_.currency + "; sums are made within one currency only");
  }
}

double CostMeter::running_s() const {
  return clock_() - start_s_;
}

Spend CostMeter::spend() const {
  Spend sum = spend_of(price_, gpus_, running_s());
  sum.gpu_hours += earlier_.gpu_hours;
  if (earlier_.amount) sum.amount = sum.amount.value_or(0.0) + *earlier_.amount;
  return sum;
}

Spend CostMeter::to_finish(double remaining_s) const {
  return spend_of(price_, gpus_, remaining_s);
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

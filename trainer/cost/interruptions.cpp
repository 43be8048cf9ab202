// Young, "A first order approximation to the optimum checkpoint interval", 1974; Daly, "A higher order
// estimate of the optimum checkpoint interval for restart dumps", 2006.
#include "trainer/cost/interruptions.h"

#include <cmath>

namespace lockstep {

double young_interval_s(double save_s, double mtbf_s) {
  return std::sqrt(2.0 * save_s * mtbf_s);
}

double daly_interval_s(double save_s, double mtbf_s) {
  return young_interval_s(save_s, mtbf_s) - save_s;
}

double checkpoint_overhead(double interval_s, double save_s, double mtbf_s) {
  return save_s / interval_s + interval_s / (2.0 * mtbf_s);
}

}  // namespace lockstep

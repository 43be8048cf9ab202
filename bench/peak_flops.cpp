#include "bench/peak_flops.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/rand.h>

#include <algorithm>
#include <chrono>
#include <cmath>

namespace lockstep {

double measure_peak_flop_per_s(const BenchWorld& world, const StepPlace& place) {
  using Clock = std::chrono::steady_clock;
  // Three matrices of 2 MB: large enough, and within a core's share of a cache. A GPU wants more to do.
  const std::int64_t side = place.device.is_cuda() ? 8192 : 768;
  constexpr int kTries = 12;
  const at::ScalarType dtype = place.precision == Precision::kBf16Mixed ? at::kBFloat16 : at::kFloat;
  const at::TensorOptions options = at::TensorOptions(place.device).dtype(dtype);
  const at::Tensor a = at::rand({side, side}, options);
  const at::Tensor b = at::rand({side, side}, options);
  at::Tensor c = at::empty({side, side}, options);
  std::vector<double> seconds;
  for (int i = 0; i < kTries; ++i) {
    world.wait_for_device();
    world.communicator()->barrier();
    const auto begin = Clock::now();
    at::mm_out(c, a, b);
    world.wait_for_device();
    seconds.push_back(std::chrono::duration<double>(Clock::now() - begin).count());
  }
  const double quickest = *std::min_element(seconds.begin(), seconds.end());
  return 2.0 * std::pow(static_cast<double>(side), 3) / world.slowest({quickest}).front();
}

}  // namespace lockstep

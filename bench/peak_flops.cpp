#include "bench/peak_flops.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/rand.h>

#include <algorithm>
#include <chrono>

namespace lockstep {

double measure_peak_flop_per_s(const BenchWorld& world) {
  using Clock = std::chrono::steady_clock;
  constexpr std::int64_t kSide =
      768;  // three matrices of 2 MB: large enough, and within a core's share of a cache
  constexpr int kTries = 12;
  const at::Tensor a = at::rand({kSide, kSide});
  const at::Tensor b = at::rand({kSide, kSide});
  at::Tensor c = at::empty({kSide, kSide});
  std::vector<double> seconds;
  for (int i = 0; i < kTries; ++i) {
    world.communicator()->barrier();
    const auto begin = Clock::now();
    at::mm_out(c, a, b);
    seconds.push_back(std::chrono::duration<double>(Clock::now() - begin).count());
  }
  const double quickest = *std::min_element(seconds.begin(), seconds.end());
  return 2.0 * kSide * kSide * kSide / world.slowest({quickest}).front();
}

}  // namespace lockstep

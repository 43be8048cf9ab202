#include "comm/link_measurement.h"

#include <chrono>
#include <limits>

namespace lockstep {
namespace {

constexpr int kRounds = 4;

double seconds_of_all_reduce(Communicator& communicator, const at::Tensor& tensor) {
  communicator.barrier();
  const auto begin = std::chrono::steady_clock::now();
  communicator.all_reduce(tensor)->wait();
  // On a GPU wait() orders streams only: reading an element waits for the sum.
  if (tensor.is_cuda()) tensor.narrow(0, 0, 1).item<float>();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

}  // namespace

LinkModel measure_link(Communicator& communicator, at::Device device) {
  std::vector<std::pair<std::int64_t, double>> measured;
  for (const std::int64_t bytes : {16 << 10, 256 << 10, 1 << 20, 8 << 20}) {
    const at::Tensor tensor =
        communicator.allocate({bytes / 4}, at::TensorOptions().dtype(at::kFloat).device(device)).zero_();
    double quickest_s = std::numeric_limits<double>::infinity();
    for (int round = 0; round < kRounds; ++round) {
      const double seconds = seconds_of_all_reduce(communicator, tensor);
      if (round > 0) quickest_s = std::min(quickest_s, seconds);
    }
    measured.emplace_back(bytes, quickest_s);
  }
  return fit_link(measured);
}

}  // namespace lockstep

// Which bucket caps suit a model on a link: a model of the pipeline of gradients that become ready and
// buckets that travel.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

namespace lockstep {

// An all-reduce of n bytes takes latency_s + n * s_per_byte.
struct LinkModel {
  double latency_s = 0.0;
  double s_per_byte = 0.0;
};

// The line of least squares through (bytes, seconds), with relative errors weighing alike, so that small
// messages count as much as large ones; neither coefficient below 0. Throws std::invalid_argument for fewer
// than two sizes, or a time that is not positive.
LinkModel fit_link(const std::vector<std::pair<std::int64_t, double>>& bytes_and_seconds);

// One gradient, in the order in which they become ready.
struct GradientArrival {
  double ready_s = 0.0;  // since the backward pass began
  std::int64_t bytes = 0;
};

struct BucketCaps {
  std::int64_t first_bytes = 0;
  std::int64_t rest_bytes = 0;
  double exposed_s = 0.0;  // communication that goes on after the last gradient is there, by the model
  bool operator==(const BucketCaps&) const = default;
};

inline constexpr std::int64_t kPytorchFirstCapBytes = 1 << 20;
inline constexpr std::int64_t kPytorchCapBytes = 25 << 20;

// When the last bucket has arrived minus when the last gradient was ready: buckets close as assign_buckets()
// closes them, leave in order, and share the link one after the other.
double exposed_communication_s(const std::vector<GradientArrival>& arrivals, const LinkModel& link,
                               std::int64_t first_bytes, std::int64_t rest_bytes);

// The caps, among powers of two from 64 KiB to 256 MiB and PyTorch's 1 and 25 MiB, that leave the least
// communication exposed. PyTorch's stay unless another pair saves at least a hundredth of the time until the
// last bucket has arrived, so that noise does not decide. `arrivals` may not be empty
// (std::invalid_argument).
BucketCaps choose_bucket_caps(const std::vector<GradientArrival>& arrivals, const LinkModel& link);

}  // namespace lockstep

#include "comm/bucket_caps.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "comm/bucket_timeline.h"

namespace lockstep {
namespace {

constexpr int kSmallestPower = 16;  // 64 KiB
constexpr int kLargestPower = 28;   // 256 MiB
constexpr double kWorthwhile = 0.01;

}  // namespace

LinkModel fit_link(const std::vector<std::pair<std::int64_t, double>>& bytes_and_seconds) {
  // Weighted least squares of t = a + b n with weights 1 / t^2.
  double w = 0.0, wn = 0.0, wnn = 0.0, wt = 0.0, wnt = 0.0;
  for (const auto& [bytes, seconds] : bytes_and_seconds) {
    if (!(seconds > 0.0)) throw std::invalid_argument("link model: a message took no time");
    const auto n = static_cast<double>(bytes);
    const double weight = 1.0 / (seconds * seconds);
    w += weight;
    wn += weight * n;
    wnn += weight * n * n;
    wt += weight * seconds;
    wnt += weight * n * seconds;
  }
  const double determinant = w * wnn - wn * wn;
  if (!(determinant > 1e-12 * w * wnn)) {
    throw std::invalid_argument("link model: it takes messages of two sizes at least");
  }
  LinkModel link{(wt * wnn - wn * wnt) / determinant, (w * wnt - wn * wt) / determinant};
  if (link.latency_s < 0.0) link = {0.0, wnt / wnn};
  if (link.s_per_byte < 0.0) link = {wt / w, 0.0};
  return link;
}

double exposed_communication_s(const std::vector<GradientArrival>& arrivals, const LinkModel& link,
                               std::int64_t first_bytes, std::int64_t rest_bytes) {
  return bucket_timeline(arrivals, link, first_bytes, rest_bytes).back().end_s - arrivals.back().ready_s;
}

BucketCaps choose_bucket_caps(const std::vector<GradientArrival>& arrivals, const LinkModel& link) {
  if (arrivals.empty()) throw std::invalid_argument("bucket caps: there is no gradient to go by");
  const auto caps = [&](std::int64_t first, std::int64_t rest) {
    return BucketCaps{first, rest, exposed_communication_s(arrivals, link, first, rest)};
  };
  const BucketCaps pytorch = caps(kPytorchFirstCapBytes, kPytorchCapBytes);
  BucketCaps best = pytorch;
  // Large ones first: of equals, the pair with fewer buckets has less to do.
  for (int rest = kLargestPower; rest >= kSmallestPower; --rest) {
    for (int first = rest; first >= kSmallestPower; --first) {
      const BucketCaps candidate = caps(std::int64_t{1} << first, std::int64_t{1} << rest);
      if (candidate.exposed_s < best.exposed_s) best = candidate;
    }
  }
  const double whole_s = arrivals.back().ready_s + pytorch.exposed_s;
  return pytorch.exposed_s - best.exposed_s >= kWorthwhile * whole_s ? best : pytorch;
}

}  // namespace lockstep

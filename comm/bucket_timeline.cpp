#include "comm/bucket_timeline.h"

#include <algorithm>

namespace lockstep {

std::vector<BucketSpan> bucket_timeline(const std::vector<GradientArrival>& arrivals, const LinkModel& link,
                                        std::int64_t first_bytes, std::int64_t rest_bytes) {
  std::vector<BucketSpan> buckets;
  double link_free_s = 0.0;
  std::int64_t cap = first_bytes;
  std::int64_t filled = 0;
  for (std::size_t i = 0; i < arrivals.size(); ++i) {
    filled += arrivals[i].bytes;
    if (filled < cap && i + 1 < arrivals.size()) continue;
    const double begin_s = std::max(link_free_s, arrivals[i].ready_s);
    link_free_s = begin_s + link.latency_s + static_cast<double>(filled) * link.s_per_byte;
    buckets.push_back({filled, arrivals[i].ready_s, begin_s, link_free_s});
    filled = 0;
    cap = rest_bytes;
  }
  return buckets;
}

}  // namespace lockstep

// When each bucket of gradients travels, by the model of comm/bucket_caps.h. Links no LibTorch.
#pragma once

#include <cstdint>
#include <vector>

#include "comm/bucket_caps.h"

namespace lockstep {

// Seconds since the backward pass began.
struct BucketSpan {
  std::int64_t bytes = 0;
  double ready_s = 0.0;  // its last gradient is there
  double begin_s = 0.0;  // the link is free for it
  double end_s = 0.0;    // it has arrived everywhere
};

// Buckets close as assign_buckets() closes them, leave in order, and share the link one after the other, an
// all-reduce each. In the order in which they leave; none without arrivals.
std::vector<BucketSpan> bucket_timeline(const std::vector<GradientArrival>& arrivals, const LinkModel& link,
                                        std::int64_t first_bytes, std::int64_t rest_bytes);

}  // namespace lockstep

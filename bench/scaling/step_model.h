// A training step at any number of ranks, from one rank's compute and a model of the link.
//
// A discrete simulation: gradients become ready at the times that were recorded, buckets close and leave in
// order, one all-reduce after the other has the link, and the optimizer waits for the last. This is the
// pipeline of PyTorch's DistributedDataParallel (Li et al., VLDB 2020, section 3.2.3) and of our Reducer.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "comm/bucket_timeline.h"

namespace lockstep {

// What one rank's step without communication takes; lockstep-bench records it.
struct StepProfile {
  std::string workload;
  std::int64_t batch_size = 0;  // samples per rank
  double forward_s = 0.0;
  double backward_s = 0.0;
  double optimizer_s = 0.0;
  std::vector<GradientArrival> arrivals;  // since the backward pass began; none is later than its end

  double step_s() const { return forward_s + backward_s + optimizer_s; }
  std::int64_t gradient_bytes() const;
};

// How gradients travel.
enum class Exchange {
  kBuckets,        // PyTorch's bucket caps, while the backward pass goes on
  kAfterBackward,  // all at once when it has ended: what our ranks in shared memory do
};

struct StepPrediction {
  double step_s = 0.0;
  double exposed_s = 0.0;  // communication that goes on after the backward pass
  std::vector<BucketSpan> buckets;
};

StepPrediction predict_step(const StepProfile& profile, const LinkModel& all_reduce, Exchange exchange);

// What a step of `ranks` waits for the last of them where each is late by a random time: exponentially
// distributed with mean `mean_s`, the largest of n is mean_s * (1 + 1/2 + ... + 1/n) on average (David and
// Nagaraja, Order Statistics, 2003), of which one rank's own share is part of its step.
double straggling_s(double mean_s, int ranks);
// The mean for which straggling_s() of `ranks`, 2 or more, is `waited_s`; 0 where that is negative.
double mean_delay_s(double waited_s, int ranks);

// As one line of JSON, for a file. from_json_text() throws std::invalid_argument, naming what is wrong, for
// what is no profile: times must be numbers from 0, arrivals in order, sizes positive.
std::string to_json_text(const StepProfile& profile);
StepProfile step_profile_from_json_text(const std::string& text);

// Throws DataError, naming the file.
StepProfile read_step_profile(const std::string& file);

}  // namespace lockstep

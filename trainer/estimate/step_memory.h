// What one rank's training step holds in memory, by part, and what that comes to on a device. Links no
// LibTorch.
#pragma once

#include <cstdint>

namespace lockstep {

// A size that grows with the batch: fixed + per_sample x samples. Two measurements decide it.
struct BatchBytes {
  double fixed = 0.0;
  double per_sample = 0.0;

  double at(std::int64_t samples) const { return fixed + per_sample * static_cast<double>(samples); }
};

// The line through two measurements; never one that falls with the batch. Throws std::invalid_argument unless
// 0 < few < many.
BatchBytes fit_batch_bytes(std::int64_t few, double bytes_of_few, std::int64_t many, double bytes_of_many);

// One rank's, in bytes.
struct StepMemory {
  double weights = 0.0;    // parameters and buffers
  double gradients = 0.0;  // the communication buckets are the gradients
  double optimizer = 0.0;
  double communication = 0.0;  // beyond the gradients: what a communication hook sends
  BatchBytes activations =
      {};  // what the forward pass keeps for the backward pass, and what both need on the way
  BatchBytes evaluation = {};  // without gradients

  // What rank 0 copies at a save and writes in the background, in the host's memory.
  double checkpoint_copy() const { return weights + optimizer; }
  double fixed() const { return weights + gradients + optimizer + communication; }
  // The peak of training at `samples` and of evaluation at `eval_samples`, beside `overhead` (the program and
  // its libraries).
  double peak(double overhead, std::int64_t samples, std::int64_t eval_samples) const;
};

// The largest training batch whose peak is within `capacity`; 0: not even one sample fits.
std::int64_t largest_batch(const StepMemory& memory, double overhead, double capacity);

}  // namespace lockstep

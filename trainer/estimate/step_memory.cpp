#include "trainer/estimate/step_memory.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

namespace lockstep {

BatchBytes fit_batch_bytes(std::int64_t few, double bytes_of_few, std::int64_t many, double bytes_of_many) {
  if (few <= 0 || many <= few) throw std::invalid_argument("two batches of different sizes are needed");
  BatchBytes line;
  line.per_sample = std::max(0.0, (bytes_of_many - bytes_of_few) / static_cast<double>(many - few));
  line.fixed = std::max(0.0, bytes_of_many - line.per_sample * static_cast<double>(many));
  return line;
}

double StepMemory::peak(double overhead, std::int64_t samples, std::int64_t eval_samples) const {
  return overhead + fixed() + std::max(activations.at(samples), evaluation.at(eval_samples));
}

std::int64_t largest_batch(const StepMemory& memory, double overhead, double capacity) {
  const double room = capacity - overhead - memory.fixed() - memory.activations.fixed;
  if (memory.activations.per_sample <= 0.0) return room >= 0.0 ? std::numeric_limits<std::int64_t>::max() : 0;
  return static_cast<std::int64_t>(std::clamp(std::floor(room / memory.activations.per_sample), 0.0, 1e15));
}

}  // namespace lockstep

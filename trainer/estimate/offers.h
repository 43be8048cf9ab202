// Which GPUs a run would fit on, how long it would take there and what it would cost. Links no LibTorch.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "trainer/cost/spend.h"
#include "trainer/estimate/step_memory.h"

namespace lockstep {

// One row to compare: a GPU and its price.
struct Offer {
  std::string gpu;
  double memory_gib = 0.0;     // 0: not known
  std::optional<Price> price;  // of one GPU for an hour
  std::string where;           // instance, region, source: for people
};

enum class Arithmetic { kFloat32, kFloat16, kBfloat16 };

// The run that is asked about.
struct PlannedRun {
  std::int64_t batch_size = 1;       // per rank
  std::int64_t eval_batch_size = 1;  // likewise
  std::int64_t ranks = 1;            // one on each GPU
  std::int64_t total_samples = 0;    // trained on by all ranks, over all epochs
  double flops_per_sample = 0.0;
  Arithmetic arithmetic = Arithmetic::kFloat32;
  double efficiency = 0.4;  // share of the data sheet's peak that training attains: an assumption
};

struct EstimatedOffer {
  Offer offer;
  bool fits = false;               // the run's batch; false as well where the memory is not known
  std::int64_t largest_batch = 0;  // per GPU
  std::optional<double> hours;     // none: it does not fit, or its speed is not known
  std::optional<double> cost;      // in the offer's currency, of all GPUs
  bool cheapest = false;           // of those that fit, among offers in its currency
  bool fastest = false;            // of those that fit
  std::string remark;
};

// CUDA's context and the workspaces of cuDNN and cuBLAS on a GPU: an assumption.
inline constexpr double kGpuOverheadBytes = 0.75 * (1 << 30);

std::vector<EstimatedOffer> estimate_offers(const std::vector<Offer>& offers, const StepMemory& memory,
                                            const PlannedRun& run);

}  // namespace lockstep

// What `lockstep estimate` prints. Links no LibTorch.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "trainer/estimate/offers.h"

namespace lockstep {

struct EstimateFacts {
  std::string model;
  std::int64_t num_parameters = 0;
  std::string data;
  std::string optimizer;
  std::string precision;
  bool activation_checkpointing = false;
  std::int64_t sequence_length = 0;      // 0: no tokens
  std::int64_t optimizer_ranks = 1;      // that share out the optimizer's memory on this machine's CPU
  double host_overhead_bytes = 0.0;      // of a rank on this machine's CPU, as measured
  double host_kernels_per_sample = 0.0;  // what its kernels take besides, in training and in evaluation
  double host_kernels_per_evaluated_sample = 0.0;
};

std::string estimate_text(const EstimateFacts& facts, const StepMemory& memory, const PlannedRun& run,
                          const std::vector<EstimatedOffer>& offers);
std::string estimate_json(const EstimateFacts& facts, const StepMemory& memory, const PlannedRun& run,
                          const std::vector<EstimatedOffer>& offers);

}  // namespace lockstep

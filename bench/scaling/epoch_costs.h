// What an epoch takes and costs on more and more GPUs, by the predicted steps.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bench/scaling/link_fit.h"
#include "bench/scaling/step_model.h"
#include "trainer/cost/spend.h"

namespace lockstep {

struct EpochQuestion {
  StepProfile profile;
  LinkModel hop;                         // between hosts; with Exchange::kAfterBackward not used
  std::optional<LinkModel> within = {};  // an all-reduce of a host's ranks; without it rings only
  Exchange exchange = Exchange::kBuckets;
  double mean_delay_s = 0.0;  // of a rank in a step: straggling_s()
  int ranks_per_host = 8;
  int most_ranks = 1024;
  std::int64_t samples_per_epoch = 0;
  Price price = {};
};

struct EpochRow {
  int ranks = 1;
  std::string algorithm;  // "ring", "hierarchical" or "shared memory"
  double step_s = 0.0;
  double exposed_s = 0.0;
  double efficiency = 1.0;  // one rank's step over this one: the same samples per rank
  double samples_per_s = 0.0;
  double epoch_s = 0.0;
  std::optional<double> cost = {};  // of an epoch; none where no price is known
};

// 1, 2, 4, ... up to `most_ranks`, which comes last if it is no power of two. Whole hosts have both
// a ring and the hierarchical algorithm, where `within` is known. Exchange::kAfterBackward is for the ranks
// of one host: all rows take `within`. Every rank has profile.batch_size samples a step; an epoch's last step
// counts whole.
std::vector<EpochRow> epoch_costs(const EpochQuestion& question);

}  // namespace lockstep

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
  LinkModel hop;                        // between hosts
  std::optional<LinkModel> inner = {};  // between the ranks of a host; without it rings only
  Exchange exchange = Exchange::kBuckets;
  int ranks_per_host = 8;
  int most_ranks = 1024;
  std::int64_t samples_per_epoch = 0;
  Price price = {};
};

struct EpochRow {
  int ranks = 1;
  std::string algorithm;  // "ring" or "hierarchical"
  double step_s = 0.0;
  double exposed_s = 0.0;
  double efficiency = 1.0;  // one rank's step over this one: the same samples per rank
  double samples_per_s = 0.0;
  double epoch_s = 0.0;
  std::optional<double> cost = {};  // of an epoch; none where no price is known
};

// 1, 2, 4, ... up to `most_ranks`, which comes last if it is no power of two. Whole hosts have both
// algorithms, where `inner` is known. Every rank has profile.batch_size samples a step; an epoch's last step
// counts whole.
std::vector<EpochRow> epoch_costs(const EpochQuestion& question);

}  // namespace lockstep

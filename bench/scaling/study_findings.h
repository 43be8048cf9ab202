// What follows from a study's measurements: the links' figures, predicted steps beside measured ones, how
// well the work scales, and what an epoch would take and cost on more ranks.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "bench/scaling/epoch_costs.h"
#include "bench/scaling/link_fit.h"
#include "bench/scaling/study.h"

namespace lockstep {

// One link at one number of ranks.
struct LinkFinding {
  std::string link;
  int ranks = 2;
  std::optional<LinkModel> cpu = {};               // CPU time of an all-reduce, of all ranks together
  LinkFit fit;                                     // of our all-reduces
  std::optional<double> attained_gbit_per_s = {};  // by the raw TCP stream, each way; of wires
  double nominal_gbit_per_s = 0.0;                 // 0: unshaped, or no wire
  std::string carrier = {};                        // "wire0 carried 101 % of what rings send"
};

struct StepFinding {
  std::string workload;
  std::string link;
  int ranks = 2;
  int fitted_at = 2;  // ranks whose all-reduces the prediction is from
  double predicted_s = 0.0;
  double replaying_s = 0.0;   // part of predicted_s: what one rank's replay takes beyond what it replays
  double straggling_s = 0.0;  // part of predicted_s; with more ranks than fitted_at, whose step it is from
  std::vector<BucketSpan> predicted_buckets = {};
  double replayed_s = 0.0;                // measured, compute slept
  double error = 0.0;                     // predicted / replayed - 1
  std::optional<Spread> computed_s = {};  // measured, computed for real
  double efficiency = 0.0;                // of computed_s, against one rank; 0 without it
  double predicted_efficiency = 0.0;      // of predicted_s without replaying_s, against the profile
  std::optional<Spread> pytorch_s = {};
  double pytorch_efficiency = 0.0;  // against its own step on one rank
  bool oversubscribed = false;      // more ranks than cores
};

struct EpochFinding {
  std::string workload;
  std::string link;
  std::vector<EpochRow> rows;
};

struct Findings {
  std::vector<LinkFinding> links;
  std::vector<StepFinding> steps;
  std::vector<EpochFinding> epochs;
};

Findings findings_of(const Study& study, const ScalingConfig& config, const Price& price);

// Tables for a terminal.
std::string to_plain_text(const Study& study, const Findings& findings, const ScalingConfig& config,
                          const Price& price);

}  // namespace lockstep

// The results of the benchmarks of the collectives, and the ways in which they are shown.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bench/report/run_facts.h"
#include "bench/report/statistics.h"

namespace lockstep {

// One contender at one size.
struct CollectiveRow {
  std::string contender;  // "lockstep", "gloo", ...
  std::int64_t bytes = 0;
  std::int64_t count = 0;  // elements
  std::string dtype;
  std::string redop = "sum";  // or none
  int root = -1;              // of a broadcast
  bool in_place = true;
  Spread time_s;                // of one operation; of each round the slowest rank's
  std::int64_t operations = 0;  // in all, warm-up included
  double cpu_s = 0;             // of all ranks together for one operation, mean
  double wire_bytes = 0;        // that a ring sends per rank: what bus bandwidth is counted from
  std::optional<std::int64_t>
      wrong;  // elements, over all rounds and ranks; none: it computes nothing, or nobody looked
  std::optional<Spread> over_ours;  // its time ÷ ours, round by round; none for ours

  // As nccl-tests' docs/PERFORMANCE.md defines them, from the median, in GB/s (10^9).
  double algorithm_bandwidth() const;
  double bus_bandwidth() const;
};

// nccl-tests' columns, and behind them the spread of the times and the ratio to ours.
std::string collective_header();
std::string format_row(const CollectiveRow& row);

// What the harness adds to each of these times, and its largest share of one; a line that begins with "# ".
std::string format_harness(double harness_s, const std::vector<CollectiveRow>& rows);
double harness_share(double harness_s, const std::vector<CollectiveRow>& rows);

// `benchmark`: "all-reduce", ...
std::string collective_json(const RunFacts& facts, const std::string& benchmark, double harness_s,
                            const std::vector<CollectiveRow>& rows);
std::string collective_csv(const RunFacts& facts, const std::vector<CollectiveRow>& rows);

// The sum of all wrong counts.
std::int64_t count_wrong(const std::vector<CollectiveRow>& rows);

}  // namespace lockstep

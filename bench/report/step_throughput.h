// What a step's time means: samples and tokens a second, floating-point operations a second and their share
// of the device's peak, and how much of one rank's rate is left for each of several.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "bench/report/statistics.h"

namespace lockstep {

// What all contenders on a workload have to do.
struct StepWork {
  double samples_per_rank = 0;
  double tokens_per_sample = 0;  // 0: it takes no tokens
  double flop_per_rank = 0;      // of forward and backward, as docs/bench.md counts them
  double peak_flop_per_s = 0;    // of one rank's device
  std::string peak_source;       // "measured: ..." or "--peak-tflops"
};

struct StepThroughput {
  double samples_per_s = 0;  // of all ranks together
  double tokens_per_s = 0;
  double flop_per_s = 0;  // of one rank
  double peak_share = 0;
  std::optional<Spread>
      efficiency;  // a rank's time alone ÷ this one's, round by round; none where nobody was alone
};

// `ranks` that worked at once; `alone_s` of the same rounds, empty where nobody was alone.
StepThroughput throughput_of(const std::vector<double>& times_s, const std::vector<double>& alone_s,
                             const StepWork& work, int ranks);

// A line for each contender under its heading; `names` and `rows` belong to each other.
std::string format_throughput(const StepWork& work, const std::vector<std::string>& names,
                              const std::vector<StepThroughput>& rows);

}  // namespace lockstep

#include "bench/report/step_throughput.h"

#include <array>
#include <cstdio>

namespace lockstep {

StepThroughput throughput_of(const std::vector<double>& times_s, const std::vector<double>& alone_s,
                             const StepWork& work, int ranks) {
  const double step_s = spread_of(times_s).median;
  StepThroughput row;
  row.samples_per_s = work.samples_per_rank * ranks / step_s;
  row.tokens_per_s = row.samples_per_s * work.tokens_per_sample;
  row.flop_per_s = work.flop_per_rank / step_s;
  row.peak_share = work.peak_flop_per_s > 0 ? row.flop_per_s / work.peak_flop_per_s : 0;
  if (!alone_s.empty()) row.efficiency = ratio_spread(alone_s, times_s);
  return row;
}

std::string format_throughput(const StepWork& work, const std::vector<std::string>& names,
                              const std::vector<StepThroughput>& rows) {
  std::array<char, 256> line{};
  const bool tokens = work.tokens_per_sample > 0;
  std::snprintf(line.data(), line.size(), "  %-14s %12s %12s %18s %9s   %s\n", "", "samples/s",
                tokens ? "tokens/s" : "", "GFLOP/s of a rank", "of peak", "efficiency");
  std::string text = line.data();
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const StepThroughput& row = rows[i];
    std::array<char, 32> per_s{};
    if (tokens) std::snprintf(per_s.data(), per_s.size(), "%.0f", row.tokens_per_s);
    std::array<char, 64> efficiency{};
    if (row.efficiency) {
      std::snprintf(efficiency.data(), efficiency.size(), "%.3f (%.2f..%.2f)", row.efficiency->median,
                    row.efficiency->min, row.efficiency->max);
    }
    std::snprintf(line.data(), line.size(), "  %-14s %12.1f %12s %18.2f %7.1f %%   %s", names[i].c_str(),
                  row.samples_per_s, per_s.data(), row.flop_per_s * 1e-9, row.peak_share * 100,
                  efficiency.data());
    std::string shown = line.data();
    shown.erase(shown.find_last_not_of(' ') + 1);
    text += shown + "\n";
  }
  std::snprintf(line.data(), line.size(),
                "  %.3f GFLOP a step and rank; a rank's peak is %.1f GFLOP/s (%s)\n",
                work.flop_per_rank * 1e-9, work.peak_flop_per_s * 1e-9, work.peak_source.c_str());
  return text + line.data();
}

}  // namespace lockstep

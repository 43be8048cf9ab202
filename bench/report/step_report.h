// The results of `lockstep bench step`, and the ways in which they are shown.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bench/report/run_facts.h"
#include "bench/report/statistics.h"
#include "bench/report/step_throughput.h"
#include "comm/bucket_timeline.h"

namespace lockstep {

// Where a step's time goes, on rank 0, and when its buckets travelled.
struct StepTimeline {
  double forward_s = 0.0;
  double backward_s = 0.0;  // without what comes next
  double exposed_s = 0.0;   // waiting for other ranks at the end of the backward pass
  double optimizer_s = 0.0;
  std::vector<BucketSpan> buckets;  // all gradients in one where ranks share memory

  double step_s() const { return forward_s + backward_s + exposed_s + optimizer_s; }
};

// One contender's step on one workload.
struct StepRow {
  std::string contender;  // "alone", "local", "averaged", "sharded", "sharded-waiting", "captured",
                          // "replayed", "c10d", "pytorch local", "pytorch ddp", "pytorch compiled"
  Spread time_s;          // of one step; of each round the slowest rank's mean over a turn
  std::optional<Spread> over_local;  // ÷ its own local step, round by round; none for a local step
  // PyTorch's ÷ this one (its DDP step, for a local step its local one) and c10d's ÷ this one, round by
  // round;
  std::optional<Spread> pytorch_over;
  std::optional<Spread> c10d_over;
  std::optional<StepThroughput> throughput = {};  // none where nobody said what there was to do
  std::optional<StepTimeline> timeline = {};  // of a step of median length; of ours that average gradients
};

struct StepTable {
  std::string workload;  // "mlp-512: mlp 784-512-512-10, batch 64, 669,706 parameters"
  int rounds = 0;        // that were timed
  int steps = 0;         // timed in each
  std::vector<StepRow> rows;
  StepWork work;
};

// From the times of each round, in seconds, contender by contender: the ratios above, and what `world_size`
// ranks that do `work` reach. `times[i]` belongs to `contenders[i]`; all have the same number of rounds.
StepTable make_step_table(const std::string& workload, int steps, const std::vector<std::string>& contenders,
                          const std::vector<std::vector<double>>& times, const StepWork& work = {},
                          int world_size = 1);

// Without the workload, which is said before anything is timed.
std::string format_table(const StepTable& table);
// What the columns mean, once under all tables.
std::string step_legend();
std::string step_json(const RunFacts& facts, const std::vector<StepTable>& tables);

inline constexpr const char* kAlone = "alone";
inline constexpr const char* kLocal = "local";
inline constexpr const char* kAveraged = "averaged";
inline constexpr const char* kSharded = "sharded";
inline constexpr const char* kShardedWaiting = "sharded-waiting";
inline constexpr const char* kCaptured = "captured";
inline constexpr const char* kReplayed = "replayed";
inline constexpr const char* kC10d = "c10d";
inline constexpr const char* kPytorch = "pytorch";  // as --compare names it: both of the next
inline constexpr const char* kPytorchDdpOnly = "pytorch-ddp";
inline constexpr const char* kPytorchCompile = "compile";
inline constexpr const char* kPytorchLocal = "pytorch local";
inline constexpr const char* kPytorchDdp = "pytorch ddp";
inline constexpr const char* kPytorchCompiled = "pytorch compiled";

}  // namespace lockstep

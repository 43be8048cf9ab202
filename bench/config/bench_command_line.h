// The benchmarks by name: their flags, their help, and from a command line to a configuration. Links no
// LibTorch.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "bench/config/collective_config.h"
#include "bench/config/step_config.h"
#include "trainer/config/flags.h"
#include "trainer/config/help_text.h"

namespace lockstep {

using BenchConfig = std::variant<CollectiveConfig, StepConfig>;

struct BenchSummary {
  std::string name;
  std::string summary;  // one line of the help
};
const std::vector<BenchSummary>& benches();

// The one that has no ranks of its own: it runs the others, and its command line is another
// (bench/config/scaling_config.h).
inline constexpr const char* kScalingBench = "scaling";

// The first of `arguments`, which must be a benchmark's name. Throws std::invalid_argument with the nearest
// one.
std::string bench_name(const std::vector<std::string>& arguments);

// nccl-tests' flags as ours: {"-b", "8"} becomes {"--min-bytes", "8"}, and so does {"--minbytes", "8"}.
std::vector<std::string> with_long_flags(const std::string& bench, std::vector<std::string> arguments);
std::vector<FlagSpec> bench_flag_specs(const std::string& bench);
std::vector<HelpEntry> bench_help_entries(const std::string& bench);

// Throws std::invalid_argument, naming the flag, for a value that cannot be, alone or with the others.
BenchConfig resolve_bench_config(const std::string& bench, const std::vector<Flag>& flags);

const BenchSetting& setting_of(const BenchConfig& config);

}  // namespace lockstep

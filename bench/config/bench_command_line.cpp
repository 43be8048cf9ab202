#include "bench/config/bench_command_line.h"

#include <algorithm>
#include <array>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "bench/config/bench_options.h"
#include "sampler/nearest_name.h"

namespace lockstep {
namespace {

constexpr std::array<std::pair<std::string_view, std::string_view>, 12> kNcclTestsFlags = {
    {{"-b", "--min-bytes"},
     {"--minbytes", "--min-bytes"},
     {"-e", "--max-bytes"},
     {"--maxbytes", "--max-bytes"},
     {"-f", "--step-factor"},
     {"--stepfactor", "--step-factor"},
     {"-w", "--warmup-iters"},
     {"-n", "--iters"},
     {"-d", "--dtype"},
     {"--datatype", "--dtype"},
     {"-c", "--check"},
     {"-r", "--root"}}};

template <class Config>
std::vector<FlagSpec> specs_of(const std::vector<Option<Config>>& options) {
  std::vector<FlagSpec> specs;
  for (const auto& option : options) specs.push_back({option.name, option.kind() == OptionKind::kSwitch});
  return specs;
}

template <class Config>
Config resolve(const std::vector<Option<Config>>& options, const std::vector<Flag>& flags,
               Config config = {}) {
  for (const Flag& flag : flags) {
    if (const auto* option = find_option(options, flag.name))
      option->set_text(config, flag.value, "--" + flag.name);
  }
  check_contradictions(config);
  return config;
}

}  // namespace

const std::vector<BenchSummary>& benches() {
  static const std::vector<BenchSummary> table = {
      {name_of(Collective::kAllReduce),
       "Time and bandwidth of an all-reduce for a range of sizes, every result checked"},
      {name_of(Collective::kReduceScatter), "The same of a reduce-scatter"},
      {name_of(Collective::kAllGather), "The same of an all-gather"},
      {name_of(Collective::kBroadcast), "The same of a broadcast"},
      {name_of(Collective::kSendReceive),
       "The same of every rank sending to one neighbour and receiving from the other"},
      {"step", "Time of a training step: local, with averaged gradients, with the sharded update"},
      {kScalingBench, "Both over ranks and links, what follows for more ranks, and a report"},
  };
  return table;
}

std::string bench_name(const std::vector<std::string>& arguments) {
  std::vector<std::string> names;
  std::string listed;
  for (const BenchSummary& bench : benches()) {
    names.push_back(bench.name);
    listed += (listed.empty() ? "" : ", ") + bench.name;
  }
  if (arguments.empty() || arguments.front().starts_with("-")) {
    throw std::invalid_argument("a benchmark's name is missing after bench; it must be one of " + listed);
  }
  if (std::find(names.begin(), names.end(), arguments.front()) == names.end()) {
    throw std::invalid_argument("unknown benchmark " + quoted(arguments.front()) + "; did you mean " +
                                nearest_name(arguments.front(), names) + "? (there are " + listed + ")");
  }
  return arguments.front();
}

std::vector<std::string> with_long_flags(const std::string& bench, std::vector<std::string> arguments) {
  if (!find_collective(bench)) return arguments;
  for (std::string& argument : arguments) {
    const std::string word = argument.substr(0, argument.find('='));
    for (const auto& [theirs, ours] : kNcclTestsFlags) {
      if (word == theirs) argument.replace(0, theirs.size(), ours);
    }
  }
  return arguments;
}

std::vector<FlagSpec> bench_flag_specs(const std::string& bench) {
  const auto collective = find_collective(bench);
  return collective ? specs_of(collective_options(*collective)) : specs_of(step_options());
}

std::vector<HelpEntry> bench_help_entries(const std::string& bench) {
  const auto collective = find_collective(bench);
  return collective ? help_entries(collective_options(*collective)) : help_entries(step_options());
}

BenchConfig resolve_bench_config(const std::string& bench, const std::vector<Flag>& flags) {
  if (bench == kScalingBench) {
    throw std::invalid_argument(std::string(kScalingBench) +
                                " has no ranks of its own; start it as lockstep bench scaling");
  }
  if (const auto collective = find_collective(bench))
    return resolve(collective_options(*collective), flags, defaults_of(*collective));
  return resolve(step_options(), flags);
}

const BenchSetting& setting_of(const BenchConfig& config) {
  return std::visit([](const auto& one) -> const BenchSetting& { return one; }, config);
}

}  // namespace lockstep

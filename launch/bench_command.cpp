#include "launch/bench_command.h"

#include <unistd.h>

#include <filesystem>

#include "bench/config/bench_command_line.h"
#include "bench/config/scaling_config.h"
#include "launch/bench_wire.h"
#include "launch/launch_options.h"
#include "launch/mpirun.h"
#include "launch/rank_job.h"
#include "launch/scaling_command.h"

namespace lockstep {
namespace {

constexpr const char* kUsage = "usage: lockstep bench ";

int num_threads_of(const BenchConfig& config) {
  const auto* step = std::get_if<StepConfig>(&config);
  return step == nullptr ? 1 : step->num_threads;
}

std::string as_typed(const std::vector<std::string>& arguments) {
  std::string text = "lockstep bench";
  for (const std::string& argument : arguments) text += " " + shell_quoted(argument);
  return text;
}

}  // namespace

int run_bench_command(const std::vector<std::string>& arguments) {
  const std::string bench = bench_name(arguments);
  if (bench == kScalingBench) return run_scaling_command({arguments.begin() + 1, arguments.end()});
  std::vector<FlagSpec> specs = bench_flag_specs(bench);
  for (const auto& option : launch_options()) {
    specs.push_back({option.name, option.kind() == OptionKind::kSwitch});
  }
  for (const auto& option : bench_wire_options()) specs.push_back({option.name, false});
  RankJob job;
  BenchWireOptions wire;
  job.arguments = {bench};
  std::vector<Flag> rank_flags;
  const auto words = with_long_flags(bench, {arguments.begin() + 1, arguments.end()});
  for (const Flag& flag : split_flags(words, specs)) {
    if (const auto* option = find_option(launch_options(), flag.name)) {
      option->set_text(job.launch, flag.value, "--" + flag.name);
    } else if (const auto* own = find_option(bench_wire_options(), flag.name)) {
      own->set_text(wire, flag.value, "--" + flag.name);
    } else {
      rank_flags.push_back(flag);
      job.arguments.push_back("--" + flag.name + "=" + flag.value);
    }
  }
  const BenchConfig config = resolve_bench_config(bench, rank_flags);
  check_bench_wire(wire, job.launch);
  job.program = "lockstep-bench";
  job.program_override = "LOCKSTEP_BENCH_PROGRAM";
  job.num_threads = num_threads_of(config);
  job.needs_mpirun = true;  // MPI_Allreduce is measured too, and one rank is a case like the others
  job.run_dir = std::filesystem::temp_directory_path() / ("lockstep-bench-" + std::to_string(getpid()));
  job.command_text = as_typed(arguments);
  job.on_first_signal = "stopping after this round; a second signal stops at once";
  return run_bench_job(std::move(job), wire, setting_of(config).json);
}

std::string bench_command_help(const std::vector<std::string>& arguments) {
  if (arguments.empty() || arguments.front().starts_with("-")) {
    std::string text = kUsage + std::string("NAME [--nproc-per-node N] [--name value ...]\n\nBenchmarks:\n");
    for (const BenchSummary& bench : benches()) {
      text += "  " + bench.name + std::string(16 - bench.name.size(), ' ') + bench.summary + "\n";
    }
    return text + "\n`lockstep bench NAME --help` lists its options.\n";
  }
  const std::string bench = bench_name(arguments);
  if (bench == kScalingBench) return scaling_help();
  return kUsage + bench +
         " [--nproc-per-node N] [--name value ...]\n\n"
         "Everything that is compared alternates in the same run, round by round; a round's time is that of\n"
         "its slowest rank. Ctrl-C stops after the round under way, and what was measured is shown.\n" +
         format_help(help_entries(launch_options())) + format_help(help_entries(bench_wire_options())) +
         format_help(bench_help_entries(bench)) +
         "\nExit codes: 0 finished, 1 a result was wrong, 2 usage, 3 bad input, 10 stopped on request,\n"
         "11 a rank, a peer or the network failed.\n";
}

}  // namespace lockstep

#include "launch/launch_options.h"

#include <stdexcept>

#include "trainer/config/command_line.h"
#include "trainer/cost/adaptive_ranks.h"

namespace lockstep {

namespace {

constexpr int kMostPerNode = 4096;
constexpr int kMostNodes = 65536;

}  // namespace

const std::vector<Option<LaunchOptions>>& launch_options() {
  using L = LaunchOptions;
  constexpr const char* kGroup = "How it is started";
  static const std::vector<Option<L>> options = {
      {"nproc-per-node", kGroup, &L::nproc_per_node, "N", "Ranks on each machine, usually one per GPU",
       integer_between(1, kMostPerNode)},
      {"nnodes", kGroup, &L::nnodes, "N", "Machines; 0: every host of the hostfile, or this one",
       integer_between(0, kMostNodes)},
      {"hostfile", kGroup, &L::hostfile, "FILE", "Machines to use, one host a line, as Open MPI reads it",
       any_line()},
      {"warm-heap", kGroup, &L::warm_heap, "on|off",
       "Have glibc keep freed memory: page faults would cost a training step up to a third of its time. It "
       "sets "
       "MALLOC_MMAP_MAX_, MALLOC_TRIM_THRESHOLD_ and MALLOC_TOP_PAD_ where they are not set already",
       one_of({"on", "off"})},
      {"dry-run", kGroup, &L::dry_run, "",
       "Print the command and the environment of the ranks, and start nothing", true_or_false()},
  };
  return options;
}

const std::vector<Option<LaunchOptions>>& restart_options() {
  using L = LaunchOptions;
  constexpr const char* kGroup = "When a rank fails";
  constexpr int kMostRestarts = 1'000'000;
  static const std::vector<Option<L>> options = {
      {"max-restarts", kGroup, &L::max_restarts, "N",
       "Restarts from the newest checkpoint after a rank was killed, stood still for --timeout or lost its "
       "network; "
       "two attempts running without progress end the run",
       integer_between(0, kMostRestarts)},
      {"restart-delay", kGroup, &L::restart_delay_s, "SECONDS",
       "Pause before a restart; it doubles, up to 60, with every attempt that made no progress",
       number_not_negative()},
      {"min-nproc", kGroup, &L::min_nproc, "N",
       "Go on with at least N ranks where one, or its host, keeps failing: with as many as divide "
       "--logical-world-size, which is then the number of ranks at the start unless it is given; 0: always "
       "all",
       integer_between(0, kMostPerNode * kMostNodes)},
  };
  return options;
}

namespace {

void check_adaptive_ranks(const std::string& text, int min_nproc) {
  try {
    for (const RanksRule& rule : parse_adaptive_ranks(text)) {
      if (rule.ranks >= min_nproc) continue;
      throw std::invalid_argument(std::to_string(rule.ranks) + " ranks are fewer than --min-nproc " +
                                  std::to_string(min_nproc) + "; one of the two must give way");
    }
  } catch (const std::invalid_argument& error) {
    throw std::invalid_argument(std::string("--adaptive-ranks: ") + error.what());
  }
}

// What a run that may go on with fewer ranks has to do without.
void check_fewer_ranks(const LaunchOptions& launch, const TrainConfig& config) {
  const bool adapts = !config.adaptive_ranks.empty();
  if (launch.min_nproc == 0 && !adapts) {
    return;
  }
  if (launch.min_nproc > 0 && launch.max_restarts == 0) {
    throw std::invalid_argument(
        "--min-nproc without --max-restarts: fewer ranks are for a restart; add --max-restarts N");
  }
  if (adapts) check_adaptive_ranks(config.adaptive_ranks, launch.min_nproc);
  if (config.sync_batchnorm || config.comm_hook != "none") {
    throw std::invalid_argument(std::string(adapts ? "--adaptive-ranks" : "--min-nproc") + " with " +
                                std::string(config.sync_batchnorm ? "--sync-batchnorm" : "--comm-hook") +
                                ": fewer ranks than logical ones cannot do that; leave one of them out");
  }
}

}  // namespace

TrainCommandLine parse_train_command(const std::vector<std::string>& arguments) {
  std::vector<FlagSpec> specs = train_flag_specs();
  for (const auto* table : {&launch_options(), &restart_options()}) {
    for (const auto& option : *table) {
      specs.push_back({option.name, option.kind() == OptionKind::kSwitch});
    }
  }
  TrainCommandLine command_line;
  std::vector<Flag> rank_flags;
  for (const Flag& flag : split_flags(arguments, specs)) {
    const auto* option = find_option(launch_options(), flag.name);
    if (option == nullptr) {
      option = find_option(restart_options(), flag.name);
    }
    if (option != nullptr) {
      option->set_text(command_line.launch, flag.value, "--" + flag.name);
    } else {
      rank_flags.push_back(flag);
      command_line.rank_arguments.push_back("--" + flag.name + "=" + flag.value);
    }
  }
  command_line.config = resolve_train_config(rank_flags);
  check_fewer_ranks(command_line.launch, command_line.config);
  return command_line;
}

}  // namespace lockstep

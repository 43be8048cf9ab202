#include "launch/command.h"

#include <algorithm>
#include <iostream>
#include <stdexcept>

#include "launch/bench_command.h"
#include "launch/cost_command.h"
#include "launch/doctor_command.h"
#include "launch/file_command.h"
#include "launch/pause_command.h"
#include "launch/rank_command.h"
#include "launch/report_command.h"
#include "launch/train_command.h"
#include "sampler/data_error.h"
#include "sampler/nearest_name.h"
#include "trainer/config/flags.h"
#include "trainer/config/option_value.h"
#include "trainer/run_dir/exit_code.h"

namespace lockstep {
namespace {

std::string overview() {
  std::string text =
      "usage: lockstep COMMAND [--name value ...]\n\n"
      "Data-parallel training of LibTorch models, on the GPUs or cores of one machine or of "
      "many.\n\nCommands:\n";
  for (const Command& command : commands()) {
    if (!command.summary.empty()) {
      text += "  " + command.name + std::string(10 - std::min<std::size_t>(command.name.size(), 9), ' ') +
              command.summary + "\n";
    }
  }
  return text +
         "\n`lockstep COMMAND --help` lists its options; `lockstep --version` says which version this is.\n";
}

const Command& find_command(const std::string& name) {
  std::vector<std::string> listed;
  for (const Command& command : commands()) {
    if (command.name == name) {
      return command;
    }
    if (!command.summary.empty()) {
      listed.push_back(command.name);
    }
  }
  throw std::invalid_argument("unknown command " + quoted(name) + "; did you mean " +
                              nearest_name(name, listed) + "? (lockstep --help lists all)");
}

int dispatch(std::vector<std::string> arguments) {
  if (arguments.empty()) {
    throw std::invalid_argument("a command is missing, such as lockstep train; lockstep --help lists all");
  }
  const std::string first = arguments.front();
  arguments.erase(arguments.begin());
  const bool asks_about_one = first == "help" && !arguments.empty();
  if (first == "--version") {
    std::cout << "lockstep " LOCKSTEP_VERSION "\n";
  } else if (asks_about_one) {
    std::cout << find_command(arguments.front()).help({arguments.begin() + 1, arguments.end()});
  } else if (first == "help" || first == "--help" || first == "-h") {
    std::cout << overview();
  } else {
    const Command& command = find_command(first);
    // An unlisted command's arguments are another program's, --help included.
    if (!command.summary.empty() && asks_for_help(arguments)) {
      std::cout << command.help(arguments);
      return 0;
    }
    return command.run(arguments);
  }
  return 0;
}

int fail(ExitCode code, const char* message) {
  std::cerr << "lockstep: error: " << message << std::endl;
  return static_cast<int>(code);
}

}  // namespace

const std::vector<Command>& commands() {
  static const std::vector<Command> table = {
      {"train", "Trains a model, one process per GPU or per share of the cores", run_train_command,
       train_command_help},
      {"bench", "Measures collectives and training steps beside those of Gloo, MPI and PyTorch",
       run_bench_command, bench_command_help},
      {"doctor", "Looks at driver, GPUs, links, NCCL, memory, network and disk, here or on hosts",
       run_doctor_command, doctor_command_help},
      {"pause", "Has a run save and stop, to go on later", run_pause_command, pause_command_help},
      {"compare", "Says where two runs, checkpoints or weight files differ, to the bit", run_compare_command,
       compare_command_help},
      {"export", "Writes a run's weights and optimizer state for Python", run_export_command,
       export_command_help},
      {"cost", "Says what runs cost, where the money went, and what it would have cost otherwise",
       run_cost_command, cost_command_help},
      {"estimate", "Says what a run takes, on which GPUs it fits, and what it would cost there",
       run_estimate_command, estimate_command_help},
      {"report", "Draws one run or several: curves, time, money and events in one HTML file",
       run_report_command, report_command_help},
      {"doctor-agent", "", run_doctor_agent_command, doctor_command_help},
      {"rank", "", run_rank_command, rank_command_help},
  };
  return table;
}

int run_lockstep(const std::vector<std::string>& arguments) {
  try {
    return dispatch(arguments);
  } catch (const std::invalid_argument& error) {
    return fail(ExitCode::kUsage, error.what());
  } catch (const DataError& error) {
    return fail(ExitCode::kBadInput, error.what());
  } catch (const std::exception& error) {
    return fail(ExitCode::kPeerFailed, error.what());
  }
}

}  // namespace lockstep

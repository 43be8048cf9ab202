#include "trainer/config/command_line.h"

#include <algorithm>

#include "trainer/config/config_file.h"
#include "trainer/config/train_options.h"

namespace lockstep {
namespace {

constexpr const char* kWhere = "Where and how it runs";

}  // namespace

std::vector<FlagSpec> train_flag_specs() {
  std::vector<FlagSpec> specs = {{"config", false}};
  for (const auto& option : train_options()) {
    specs.push_back({option.name, option.kind() == OptionKind::kSwitch});
  }
  return specs;
}

TrainConfig resolve_train_config(const std::vector<Flag>& flags) {
  TrainConfig config;
  for (const Flag& flag : flags) {
    if (flag.name == "config") {
      read_config_file(flag.value, config);
    }
  }
  for (const Flag& flag : flags) {
    if (const auto* option = find_option(train_options(), flag.name)) {
      option->set_text(config, flag.value, "--" + flag.name);
    }
  }
  check_contradictions(config);
  return config;
}

std::vector<HelpEntry> train_help_entries() {
  std::vector<HelpEntry> entries = help_entries(train_options());
  const auto rows =
      std::find_if(entries.rbegin(), entries.rend(), [](const auto& e) { return e.group == kWhere; });
  entries.insert(rows.base(), {kWhere, "--config FILE",
                               "Take options from a TOML file, such as a run's config.toml; a flag wins"});
  return entries;
}

std::string train_help() {
  return "usage: lockstep-train [--name value ...]\n\n"
         "One rank of a data-parallel training run. `lockstep train` starts all of them; this program also\n"
         "starts under mpirun, srun and torchrun --no-python. Dashes and underscores in names are the "
         "same.\n" +
         format_help(train_help_entries()) +
         "\nExit codes: 0 finished, 2 usage, 3 bad input or data, 10 paused (run the same command again),\n"
         "11 a peer or the network failed (retryable), 12 the budget is reached.\n";
}

CommandLine parse_command_line(const std::vector<std::string>& arguments) {
  CommandLine command_line;
  command_line.help = asks_for_help(arguments);
  command_line.version = asks_for_version(arguments);
  if (!command_line.help && !command_line.version) {
    command_line.config = resolve_train_config(split_flags(arguments, train_flag_specs()));
  }
  return command_line;
}

}  // namespace lockstep

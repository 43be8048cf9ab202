// From a command line to a TrainConfig: defaults, then the --config file, then the flags.
#pragma once

#include <string>
#include <vector>

#include "trainer/config/flags.h"
#include "trainer/config/help_text.h"
#include "trainer/config/train_config.h"

namespace lockstep {

struct CommandLine {
  bool help = false;     // --help was asked for: nothing else was looked at
  bool version = false;  // --version likewise
  TrainConfig config;
};

// `arguments` without the program's name. Throws std::invalid_argument for what is wrong with a flag or a
// value of the file, and DataError for a file that cannot be read: one line each, naming the flag, the value
// and what would be right.
CommandLine parse_command_line(const std::vector<std::string>& arguments);

// The text of `lockstep-train --help`.
std::string train_help();

// The three parts for a program with flags of its own beside these (`lockstep train`).
std::vector<FlagSpec> train_flag_specs();  // --config included
TrainConfig resolve_train_config(const std::vector<Flag>& flags);
std::vector<HelpEntry> train_help_entries();

}  // namespace lockstep

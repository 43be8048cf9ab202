// Splits a command line into flags and their values, before anybody asks what they mean.
#pragma once

#include <string>
#include <vector>

namespace lockstep {

struct FlagSpec {
  std::string name;        // with dashes, without the leading two
  bool is_switch = false;  // --name alone means "true"; a value needs the form --name=value
};

struct Flag {
  std::string name;
  std::string value;
};

// Takes --name value, --name=value, and underscores for dashes in names. Throws std::invalid_argument, naming
// the flag: unknown (with the nearest known name), given twice, without its value, or a word that belongs to
// none.
std::vector<Flag> split_flags(const std::vector<std::string>& arguments, const std::vector<FlagSpec>& specs);

// True if --help or -h (--version) is among the arguments: it wins over everything else there.
bool asks_for_help(const std::vector<std::string>& arguments);
bool asks_for_version(const std::vector<std::string>& arguments);

// A configuration file's or a flag's name with dashes: batch_size -> batch-size.
std::string with_dashes(std::string name);

}  // namespace lockstep

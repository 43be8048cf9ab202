// The `lockstep` program's commands: a table of names, and what a mistyped one gets.
#pragma once

#include <string>
#include <vector>

namespace lockstep {

struct Command {
  std::string name;
  std::string summary;  // one line of the help; empty: not listed there
  // Runs it; the exit code. Throws std::invalid_argument and DataError for the user's errors.
  int (*run)(const std::vector<std::string>& arguments);
  // Of all of it, or of what `arguments` name.
  std::string (*help)(const std::vector<std::string>& arguments);
};

// A new command is a file of its own and a row here.
const std::vector<Command>& commands();

// `arguments` without the program's name. Prints errors as one line, "lockstep: error: ...", and returns the
// exit code: 2 for a wrong use, 3 for bad input, 11 for what failed on the way.
int run_lockstep(const std::vector<std::string>& arguments);

}  // namespace lockstep

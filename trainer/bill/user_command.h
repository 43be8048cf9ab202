// A command that the user gives as one text, run without a shell.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace lockstep {

// Splits a command into words: blanks part them, '...' and "..." keep blanks, \ keeps the next character (but
// not within '...'). Nothing else is special. Throws std::invalid_argument for a quote that is not closed or
// a command without a word.
std::vector<std::string> split_words(const std::string& command);

// Starts it beside this process, looked up on the PATH. `problem` says why that failed, and is empty if it
// did not; somebody has to wait for `child` then.
struct StartedCommand {
  pid_t child = -1;
  std::string problem;
};
StartedCommand start_command(const std::vector<std::string>& words);

}  // namespace lockstep

// Other people's small programs, run to their end.
#pragma once

#include <string>
#include <vector>

namespace lockstep {

struct ToolResult {
  int status = 0;      // its exit code, or 128 + the signal that ended it; 127: it could not be started
  std::string output;  // standard output and standard error
};

// words[0] is looked up on the PATH, then in /usr/sbin and /sbin, where ip and tc are and where few users'
// PATH leads. Without a shell, its standard input empty.
ToolResult run_tool(const std::vector<std::string>& words);

}  // namespace lockstep

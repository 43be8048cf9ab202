// The `lockstep` program.
#include <csignal>
#include <string>
#include <vector>

#include "launch/command.h"

int main(int argc, char** argv) {
  // Whoever started us may ignore it, and children would then vanish without a word.
  std::signal(SIGCHLD, SIG_DFL);
  return lockstep::run_lockstep(std::vector<std::string>(argv + 1, argv + argc));
}

// The `lockstep` program.
#include <string>
#include <vector>

#include "launch/command.h"

int main(int argc, char** argv) {
  return lockstep::run_lockstep(std::vector<std::string>(argv + 1, argv + argc));
}

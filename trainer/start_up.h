// The start of a run, in which all ranks fail together or not at all.
#pragma once

#include <functional>
#include <stdexcept>
#include <string>

#include "comm/communicator.h"
#include "trainer/run_dir/exit_code.h"

namespace lockstep {

// The end of a run that all ranks know of: each throws it at the same point, so they can leave each other in
// good order, and one of them tells the user. Any other exception is one rank's own.
class AgreedStop : public std::runtime_error {
 public:
  AgreedStop(ExitCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ExitCode code() const noexcept { return code_; }

 private:
  ExitCode code_;
};

// One rank's own end, after the ranks have met: its code goes to the launcher, which ends the others.
class LoneStop : public std::runtime_error {
 public:
  LoneStop(ExitCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ExitCode code() const noexcept { return code_; }

 private:
  ExitCode code_;
};

// Runs `body` on this rank, then learns how the others fared; a collective. If `body` threw
// std::invalid_argument or DataError on any rank, every rank throws AgreedStop with the message of the lowest
// such rank, which is named unless all of them failed. Other exceptions pass through at once.
void together(Communicator& communicator, const std::function<void()>& body);

}  // namespace lockstep

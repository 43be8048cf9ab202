// The hosts of a run, looked at from the launcher's machine.
#pragma once

#include <chrono>
#include <filesystem>
#include <map>
#include <optional>

#include "launch/doctor/finding.h"
#include "launch/doctor/host_messages.h"

namespace lockstep {

// What became of one host.
struct HostResult {
  std::string host;
  std::string problem;  // why there is no report; empty: there is one
  HostReport report;
  double clock_ahead_s = 0;        // of the launcher's machine
  double clock_uncertainty_s = 0;  // half the way there and back
  std::vector<PortTrial> trials;   // of the other hosts that could be started
  bool answered_trials = false;
};

// Starts an agent on each host, as ranks are started, all at once. `timeout` is for all of it.
std::vector<HostResult> ask_hosts(const std::vector<std::string>& hosts, const std::filesystem::path& mpirun,
                                  std::chrono::milliseconds timeout);

// One section for each host: what its agent found, and what shows only beside the others.
std::vector<Section> judge_hosts(const std::vector<HostResult>& results);

// The line of what mpirun and ssh have printed that says why a program could not be started.
std::string reason_in(const std::string& error_text);

}  // namespace lockstep

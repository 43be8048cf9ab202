// What `lockstep doctor` and its agents on the hosts tell each other: one JSON object a line. The agent
// speaks first (HostReport); then it answers "time" with its clock and "try" with the ports that it reached,
// until its input ends.
#pragma once

#include <string>
#include <vector>

#include "launch/doctor/finding.h"
#include "launch/doctor/port_check.h"

namespace lockstep {

struct HostReport {
  std::string version;  // of lockstep
  std::string driver;   // empty: none
  int nccl = 0;
  Findings findings;
  Reachable reachable;  // its `host` is left out
};

// What either side's clock says.
double time_unix_s();

std::string to_line(const HostReport& report);
std::string time_request();
std::string to_line(double time_unix_s);
std::string to_line(const std::vector<Reachable>& hosts);  // the request "try"
std::string to_line(const std::vector<PortTrial>& trials);

// All throw DataError for what is no such message. Whatever does not begin with the agent's mark is none of
// its lines (is_agent_line() is false): shells print greetings.
bool is_agent_line(const std::string& line);
HostReport read_report(const std::string& line);
double read_time(const std::string& line);
std::vector<PortTrial> read_trials(const std::string& line);

// A request: hosts to try, or none for "time".
std::vector<Reachable> read_request(const std::string& line);

}  // namespace lockstep

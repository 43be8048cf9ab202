// Network interfaces of one machine: their MTU.
#pragma once

#include "launch/doctor/finding.h"
#include "launch/doctor/probe_source.h"

namespace lockstep {

struct NetworkInterface {
  std::string name;
  int mtu = 0;
  int speed_mbit_per_s = 0;  // 0: it does not say, as virtual ones
};

// Those that are up and lead to other machines.
std::vector<NetworkInterface> network_interfaces(const ProbeSource& source);
Findings probe_mtu(const ProbeSource& source);
// Ports that the kernel gives to connections: the first and the last.
std::pair<int, int> ephemeral_ports(const ProbeSource& source);
Finding probe_ephemeral_ports(const ProbeSource& source);

}  // namespace lockstep

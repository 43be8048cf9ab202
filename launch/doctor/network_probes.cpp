#include "launch/doctor/network_probes.h"

#include <sstream>

namespace lockstep {

std::vector<NetworkInterface> network_interfaces(const ProbeSource& source) {
  std::vector<NetworkInterface> interfaces;
  for (const std::string& name : source.names("sys/class/net")) {
    const std::string folder = "sys/class/net/" + name + "/";
    // Of Linux's ARPHRD_* numbers: 772 is loopback. "unknown" is what many virtual interfaces say when they
    // are up.
    const auto state = source.text(folder + "operstate");
    if (source.number(folder + "type") == 772 || !state || (*state != "up" && *state != "unknown")) continue;
    NetworkInterface interface;
    interface.name = name;
    interface.mtu = static_cast<int>(source.number(folder + "mtu").value_or(0));
    const auto speed = source.number(folder + "speed").value_or(0);
    interface.speed_mbit_per_s = speed > 0 ? static_cast<int>(speed) : 0;
    interfaces.push_back(std::move(interface));
  }
  return interfaces;
}

Findings probe_mtu(const ProbeSource& source) {
  constexpr const char* kTopic = "mtu";
  constexpr int kJumbo = 9000;
  constexpr int kFast = 10'000;  // Mb/s, from which small frames cost a core
  std::string text;
  Findings findings;
  for (const NetworkInterface& interface : network_interfaces(source)) {
    const std::string one = interface.name + " " + std::to_string(interface.mtu) +
                            (interface.speed_mbit_per_s > 0
                                 ? " at " + std::to_string(interface.speed_mbit_per_s / 1000) + "." +
                                       std::to_string(interface.speed_mbit_per_s % 1000 / 100) + " Gb/s"
                                 : "");
    if (interface.speed_mbit_per_s >= kFast && interface.mtu < kJumbo) {
      findings.push_back(
          warning(kTopic, one + ": small frames on a fast link",
                  "ip link set " + interface.name + " mtu 9000 on every host, where the switches take it"));
    } else {
      text += (text.empty() ? "" : ", ") + one;
    }
  }
  if (!text.empty()) findings.push_back(ok(kTopic, text));
  if (findings.empty()) findings.push_back(ok(kTopic, "no network interface but loopback"));
  return findings;
}

std::pair<int, int> ephemeral_ports(const ProbeSource& source) {
  std::istringstream words(source.text("proc/sys/net/ipv4/ip_local_port_range").value_or(""));
  int first = 0;
  int last = 0;
  constexpr std::pair<int, int> kLinux = {32768, 60999};
  return words >> first >> last && first > 0 && last >= first && last <= 65535 ? std::pair(first, last)
                                                                               : kLinux;
}

Finding probe_ephemeral_ports(const ProbeSource& source) {
  constexpr const char* kTopic = "ports";
  constexpr int kFew = 1000;
  const auto [first, last] = ephemeral_ports(source);
  const std::string text = "connections get ports " + std::to_string(first) + " to " + std::to_string(last);
  if (last - first + 1 < kFew)
    return warning(kTopic, text,
                   "sysctl net.ipv4.ip_local_port_range=\"32768 60999\": every two ranks need some");
  return ok(kTopic, text);
}

}  // namespace lockstep

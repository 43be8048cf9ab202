#include "launch/doctor/host_agent.h"

#include <chrono>
#include <future>
#include <istream>
#include <ostream>
#include <stdexcept>
#include <string>
#include <utility>

#include "launch/doctor/host_messages.h"
#include "launch/doctor/machine_check.h"
#include "launch/doctor/network_probes.h"

namespace lockstep {
namespace {

std::vector<PortTrial> try_all(const std::vector<Reachable>& hosts, const std::vector<SocketAddress>& own) {
  std::vector<std::future<PortTrial>> trials;
  for (const Reachable& host : hosts)
    trials.push_back(std::async(std::launch::async, try_ports, std::cref(host), std::cref(own)));
  std::vector<PortTrial> done;
  for (auto& trial : trials) done.push_back(trial.get());
  return done;
}

}  // namespace

void run_doctor_agent(const ProbeSource& source, std::istream& input, std::ostream& output) {
  const PortListeners listeners(ephemeral_ports(source));
  HostReport report;
  report.version = LOCKSTEP_VERSION;
  report.reachable.ports = listeners.ports();
  MachineCheck check = check_this_machine(source, /*run_dir=*/{});
  report.driver = std::move(check.driver);
  report.nccl = check.nccl;
  report.findings = std::move(check.findings);
  try {
    report.reachable.addresses = local_addresses(source.variable("LOCKSTEP_SOCKET_IFNAME"));
  } catch (const std::invalid_argument& error) {
    report.findings.push_back(failure("ports", error.what(), "choose one of these, or unset it"));
  }
  output << to_line(report) << std::endl;
  for (std::string line; std::getline(input, line);) {
    const auto hosts = read_request(line);
    output << (hosts.empty() ? to_line(time_unix_s()) : to_line(try_all(hosts, report.reachable.addresses)))
           << std::endl;
  }
}

}  // namespace lockstep

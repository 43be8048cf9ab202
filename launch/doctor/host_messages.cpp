#include "launch/doctor/host_messages.h"

#include <arpa/inet.h>

#include <chrono>
#include <nlohmann/json.hpp>

#include "sampler/data_error.h"

namespace lockstep {
namespace {

using nlohmann::json;

constexpr const char* kMark = "@lockstep-doctor ";

std::string marked(const json& message) {
  return kMark + message.dump(-1, ' ', false, json::error_handler_t::replace);
}

// Calls read(message) for what follows the mark.
template <class Read>
auto reading(const std::string& line, const Read& read) {
  try {
    return read(json::parse(is_agent_line(line) ? line.substr(std::string(kMark).size()) : line));
  } catch (const json::exception& error) {
    throw DataError("a message of lockstep doctor is damaged (" + std::string(error.what()) +
                    "); the hosts need the same version of lockstep");
  }
}

json to_json(const Reachable& host) {
  json addresses = json::array();
  for (const SocketAddress& address : host.addresses) {
    addresses.push_back({{"address", to_string(address)},
                         {"family", address.family},
                         {"prefix", address.prefix_bits},
                         {"loopback", address.is_loopback != 0}});
  }
  return {{"host", host.host}, {"addresses", addresses}, {"ports", host.ports}};
}

Reachable reachable_from(const json& message) {
  Reachable host;
  host.host = message.at("host");
  host.ports = message.at("ports").get<std::vector<int>>();
  for (const json& entry : message.at("addresses")) {
    SocketAddress address;
    address.family = entry.at("family");
    address.prefix_bits = entry.at("prefix");
    address.is_loopback = entry.at("loopback").get<bool>() ? 1 : 0;
    const std::string text = entry.at("address");
    if ((address.family != 4 && address.family != 6) ||
        inet_pton(address.family == 4 ? AF_INET : AF_INET6, text.c_str(), address.bytes.data()) != 1)
      throw DataError("a host names \"" + text.substr(0, 100) +
                      "\" as its address; it must be one of IPv4 or IPv6");
    host.addresses.push_back(address);
  }
  return host;
}

}  // namespace

bool is_agent_line(const std::string& line) {
  return line.starts_with(kMark);
}

std::string to_line(const HostReport& report) {
  return marked({{"version", report.version},
                 {"driver", report.driver},
                 {"nccl", report.nccl},
                 {"findings", json::parse(to_json_text(report.findings))},
                 {"reachable", to_json(report.reachable)}});
}

HostReport read_report(const std::string& line) {
  return reading(line, [](const json& message) {
    HostReport report;
    report.version = message.at("version");
    report.driver = message.at("driver");
    report.nccl = message.at("nccl");
    report.findings = findings_from_json(message.at("findings").dump());
    report.reachable = reachable_from(message.at("reachable"));
    return report;
  });
}

double time_unix_s() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::string time_request() {
  return json{{"do", "time"}}.dump();
}

std::string to_line(double time_unix_s) {
  return marked({{"time_unix_s", time_unix_s}});
}

double read_time(const std::string& line) {
  return reading(line, [](const json& message) { return message.at("time_unix_s").get<double>(); });
}

std::string to_line(const std::vector<Reachable>& hosts) {
  json list = json::array();
  for (const Reachable& host : hosts) list.push_back(to_json(host));
  return json{{"do", "try"}, {"hosts", list}}.dump();
}

std::vector<Reachable> read_request(const std::string& line) {
  return reading(line, [](const json& message) {
    std::vector<Reachable> hosts;
    if (message.at("do") == "time") return hosts;
    for (const json& host : message.at("hosts")) hosts.push_back(reachable_from(host));
    return hosts;
  });
}

std::string to_line(const std::vector<PortTrial>& trials) {
  json list = json::array();
  for (const PortTrial& trial : trials) {
    list.push_back({{"host", trial.host},
                    {"address", trial.address},
                    {"closed", trial.closed},
                    {"connect_time_s", trial.connect_time_s},
                    {"mtu", trial.mtu}});
  }
  return marked({{"trials", list}});
}

std::vector<PortTrial> read_trials(const std::string& line) {
  return reading(line, [](const json& message) {
    std::vector<PortTrial> trials;
    for (const json& entry : message.at("trials")) {
      trials.push_back({entry.at("host"), entry.at("address"), entry.at("closed").get<std::vector<int>>(),
                        entry.at("connect_time_s"), entry.at("mtu")});
    }
    return trials;
  });
}

}  // namespace lockstep

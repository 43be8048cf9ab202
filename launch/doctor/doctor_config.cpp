#include "launch/doctor/doctor_config.h"

#include <algorithm>
#include <sstream>
#include <stdexcept>

#include "launch/hostfile.h"
#include "sampler/data_error.h"
#include "trainer/config/help_text.h"
#include "trainer/config/option.h"
#include "trainer/config/set_flags.h"

namespace lockstep {
namespace {

constexpr const char* kUsage = "usage: lockstep doctor [--hostfile FILE | --host NAMES] [--json]";

// What ssh would not take for an option, nor a shell for anything but a word.
bool is_host_name(const std::string& name) {
  constexpr std::size_t kLongest = 253;  // RFC 1035
  const auto is_letter = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  return !name.empty() && name.size() <= kLongest && is_letter(name.front()) &&
         std::all_of(name.begin(), name.end(),
                     [&](char c) { return is_letter(c) || c == '.' || c == '-' || c == '_'; });
}

std::vector<std::string> split_hosts(const std::string& text) {
  std::vector<std::string> hosts;
  std::istringstream words(text);
  for (std::string host; std::getline(words, host, ',');) {
    if (std::find(hosts.begin(), hosts.end(), host) == hosts.end()) hosts.push_back(host);
  }
  return hosts;
}

Rule host_list() {
  return {"host names with commas between them, such as node1,node2", [](const OptionValue& value) {
            const auto hosts = split_hosts(std::get<std::string>(value));
            return !hosts.empty() && std::all_of(hosts.begin(), hosts.end(), is_host_name);
          }};
}

const std::vector<Option<DoctorConfig>>& doctor_options() {
  using C = DoctorConfig;
  constexpr const char* kGroup = "Options";
  constexpr double kLongestTimeoutS = 1e5;
  static const std::vector<Option<C>> options = {
      {"hostfile", kGroup, &C::hostfile, "FILE",
       "Machines to look at, one host a line, as lockstep train takes it", any_line()},
      {"host", kGroup, &C::host, "NAMES", "The same, named here with commas between them", host_list()},
      {"run-dir", kGroup, &C::run_dir, "DIR",
       "Run folder whose disk is tried, by writing up to 64 MB that are gone at once; where it is not there, "
       "the "
       "folder that is to hold it",
       some_line()},
      {"timeout", kGroup, &C::timeout_s, "SECONDS", "Longest wait for all hosts, seconds",
       number_above_zero(kLongestTimeoutS)},
      {"json", kGroup, &C::json, "", "Print one JSON object instead of lines for people", true_or_false()},
  };
  return options;
}

}  // namespace

DoctorConfig parse_doctor_command(const std::vector<std::string>& arguments) {
  DoctorConfig config;
  set_flags(doctor_options(), arguments, config);
  if (!config.hostfile.empty() && !config.host.empty())
    throw std::invalid_argument("--host with --hostfile: both name the machines; leave one of them out");
  config.hosts = config.hostfile.empty() ? split_hosts(config.host) : host_names(config.hostfile);
  for (const std::string& host : config.hosts) {
    if (!is_host_name(host)) {
      throw DataError("--hostfile: " + config.hostfile + " names " + quoted(host) +
                      ", which is no host's name; it must be letters, digits, dots, dashes and underscores");
    }
  }
  return config;
}

std::string doctor_help() {
  return kUsage +
         std::string(
             "\n\nLooks at what a run would depend on: driver, GPUs and the ways between them, NCCL and its\n"
             "settings, Open MPI, processors, memory, network, disk, and what a container allows. With "
             "hosts,\n"
             "looks at each of them, started as ranks are, and at the ports between them and at their "
             "clocks.\n"
             "Each line is ok, a warning, or a failure, with its remedy. Nothing is changed.\n") +
         format_help(help_entries(doctor_options())) +
         "\nExit codes: 0 no failure (there may be warnings), 1 a failure, 2 usage, 3 the host list cannot "
         "be read.\n";
}

}  // namespace lockstep

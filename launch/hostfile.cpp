#include "launch/hostfile.h"

#include <algorithm>
#include <fstream>
#include <sstream>
#include <string>
#include <utility>

#include "sampler/data_error.h"

namespace lockstep {
namespace {

// By host, in order of appearance, its lines.
std::vector<std::pair<std::string, std::string>> read_hosts(const std::filesystem::path& file) {
  std::ifstream stream(file);
  std::vector<std::pair<std::string, std::string>> hosts;
  for (std::string line; std::getline(stream, line);) {
    std::istringstream words(line.substr(0, line.find('#')));
    std::string host;
    if (!(words >> host)) {
      continue;
    }
    const auto known =
        std::find_if(hosts.begin(), hosts.end(), [&](const auto& entry) { return entry.first == host; });
    if (known == hosts.end()) {
      hosts.emplace_back(host, line + "\n");
    } else {
      known->second += line + "\n";
    }
  }
  if (!stream.is_open() || stream.bad()) {
    throw DataError("--hostfile: " + file.string() + " cannot be read; it must list one host a line");
  }
  if (hosts.empty()) {
    throw DataError("--hostfile: " + file.string() +
                    " names no host; it must list one a line, such as: node1 slots=8");
  }
  return hosts;
}

}  // namespace

int count_hosts(const std::filesystem::path& file) {
  return static_cast<int>(read_hosts(file).size());
}

std::vector<std::string> host_names(const std::filesystem::path& file) {
  std::vector<std::string> names;
  for (const auto& [host, lines] : read_hosts(file)) names.push_back(host);
  return names;
}

std::string lines_of_hosts(const std::filesystem::path& file, const std::vector<int>& hosts) {
  const auto all = read_hosts(file);
  std::string lines;
  for (const int host : hosts) {
    lines += all.at(static_cast<std::size_t>(host)).second;
  }
  return lines;
}

}  // namespace lockstep

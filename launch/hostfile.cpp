#include "launch/hostfile.h"

#include <fstream>
#include <set>
#include <sstream>
#include <string>

#include "sampler/data_error.h"

namespace lockstep {

int count_hosts(const std::filesystem::path& file) {
  std::ifstream stream(file);
  std::set<std::string> hosts;
  for (std::string line; std::getline(stream, line);) {
    std::istringstream words(line.substr(0, line.find('#')));
    if (std::string host; words >> host) {
      hosts.insert(host);
    }
  }
  if (!stream.is_open() || stream.bad()) {
    throw DataError("--hostfile: " + file.string() + " cannot be read; it must list one host a line");
  }
  if (hosts.empty()) {
    throw DataError("--hostfile: " + file.string() +
                    " names no host; it must list one a line, such as: node1 slots=8");
  }
  return static_cast<int>(hosts.size());
}

}  // namespace lockstep

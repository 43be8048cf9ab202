// Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/ of the kernel. A limit may stand in the process's
// own group or in any that holds it; inside a container the own group is usually mounted as the root.
#include "launch/doctor/control_groups.h"

#include <algorithm>
#include <filesystem>
#include <sstream>

namespace lockstep {
namespace {

// The group of this process for a controller ("" for version 2) and all that hold it: "/a/b", "/a", "".
std::vector<std::string> groups_of(const ProbeSource& source, const std::string& controller) {
  std::vector<std::string> groups;
  std::istringstream lines(source.text("proc/self/cgroup").value_or(""));
  for (std::string line; std::getline(lines, line);) {  // "4:memory:/a/b", "0::/a/b"
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    std::istringstream controllers(line.substr(first + 1, second - first - 1));
    bool is_its = controller.empty() && second == first + 1;
    for (std::string name; std::getline(controllers, name, ',');) is_its = is_its || name == controller;
    if (!is_its) continue;
    for (std::filesystem::path group = line.substr(second + 1); group.has_relative_path();
         group = group.parent_path()) {
      // A group outside our own view ("/../x") is nowhere to be read.
      if (group.lexically_normal() == group) groups.push_back(group.string());
    }
  }
  groups.emplace_back();
  return groups;
}

template <class Value>
void keep_least(std::optional<Value>& least, Value value) {
  least = least ? std::min(*least, value) : value;
}

}  // namespace

std::optional<double> control_group_cpus(const ProbeSource& source) {
  std::optional<double> least;
  for (const std::string& group : groups_of(source, "")) {
    // "200000 100000": microseconds in each period; "max 100000".
    std::istringstream words(source.text("sys/fs/cgroup" + group + "/cpu.max").value_or(""));
    double quota = 0;
    double period = 0;
    if (words >> quota >> period && quota > 0 && period > 0) keep_least(least, quota / period);
  }
  for (const std::string& group : groups_of(source, "cpu")) {
    const std::string folder = "sys/fs/cgroup/cpu" + group;
    const auto quota = source.number(folder + "/cpu.cfs_quota_us");
    const auto period = source.number(folder + "/cpu.cfs_period_us");
    if (quota && period && *quota > 0 && *period > 0)
      keep_least(least, static_cast<double>(*quota) / static_cast<double>(*period));
  }
  return least;
}

std::optional<std::int64_t> control_group_memory(const ProbeSource& source) {
  constexpr std::int64_t kUnlimited = std::int64_t{1} << 60;  // version 1 says 2^63 less a page
  std::optional<std::int64_t> least;
  const auto take = [&](const std::string& file) {
    const auto limit = source.number(file);
    if (limit && *limit < kUnlimited) keep_least(least, *limit);
  };
  for (const std::string& group : groups_of(source, "")) take("sys/fs/cgroup" + group + "/memory.max");
  for (const std::string& group : groups_of(source, "memory"))
    take("sys/fs/cgroup/memory" + group + "/memory.limit_in_bytes");
  return least;
}

std::string container_kind(const ProbeSource& source) {
  if (!source.variable("KUBERNETES_SERVICE_HOST").empty()) return "Kubernetes";
  if (source.exists(".dockerenv")) return "Docker";
  if (source.exists("run/.containerenv")) return "Podman";
  if (source.exists(".singularity.d") || !source.variable("SINGULARITY_NAME").empty()) return "Apptainer";
  return {};
}

}  // namespace lockstep

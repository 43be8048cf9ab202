#include "bench/report/run_facts.h"

#include <sched.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

namespace lockstep {
namespace {

namespace fs = std::filesystem;

std::string first_line_of(const fs::path& file) {
  std::ifstream stream(file);
  std::string line;
  std::getline(stream, line);
  return line;
}

std::string cpu_model() {
  std::ifstream stream("/proc/cpuinfo");
  for (std::string line; std::getline(stream, line);) {
    if (!line.starts_with("model name")) continue;
    const std::size_t colon = line.find(": ");
    return colon == std::string::npos ? std::string() : line.substr(colon + 2);
  }
  return {};
}

std::vector<std::pair<std::string, std::string>> caches_of_one_core() {
  std::vector<std::pair<std::string, std::string>> caches;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator("/sys/devices/system/cpu/cpu0/cache", error)) {
    if (!entry.path().filename().string().starts_with("index")) continue;
    const std::string type = first_line_of(entry.path() / "type");
    caches.emplace_back("L" + first_line_of(entry.path() / "level") + (type == "Unified" ? "" : " " + type),
                        first_line_of(entry.path() / "size"));
  }
  std::sort(caches.begin(), caches.end());
  return caches;
}

}  // namespace

Machine read_machine() {
  Machine machine;
  machine.cpu = cpu_model();
  cpu_set_t cores;
  machine.cores = sched_getaffinity(0, sizeof(cores), &cores) == 0 ? CPU_COUNT(&cores) : 0;
  machine.caches = caches_of_one_core();
  constexpr double kGib = 1 << 30;
  machine.memory_gib =
      static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE)) / kGib;
  utsname names{};
  if (uname(&names) == 0) machine.kernel = std::string(names.sysname) + " " + names.release;
  return machine;
}

std::string describe(const RunFacts& facts) {
  std::string text = "# " + facts.machine.cpu + ", " + std::to_string(facts.machine.cores) + " cores";
  for (const auto& [name, size] : facts.machine.caches) text += ", " + name + " " + size;
  if (!facts.machine.gpu.empty()) text += "; " + facts.machine.gpu;
  text += "; " + facts.machine.kernel + "\n# ";
  for (const auto& [name, version] : facts.versions) {
    text += (&name == &facts.versions.front().first ? "" : ", ") + name + " " + version;
  }
  std::array<char, 64> barrier{};
  std::snprintf(barrier.data(), barrier.size(), "%.1f us", facts.barrier_s * 1e6);
  text += "\n# " + std::to_string(facts.world_size) + (facts.world_size == 1 ? " rank" : " ranks") + " on " +
          std::to_string(facts.hosts) + (facts.hosts == 1 ? " host" : " hosts") + ", backend " +
          facts.backend + " (" + facts.backend_reason + "), order " + facts.reduction_order + ", a barrier " +
          barrier.data() + ", heap " + (facts.warm_heap ? "warm" : "default") + " for all\n";
  return text + "# " + facts.command + "\n";
}

std::string to_json_text(const RunFacts& facts) {
  nlohmann::ordered_json caches = nlohmann::ordered_json::object();
  for (const auto& [name, size] : facts.machine.caches) caches[name] = size;
  nlohmann::ordered_json versions = nlohmann::ordered_json::object();
  for (const auto& [name, version] : facts.versions) versions[name] = version;
  nlohmann::ordered_json json = {{"machine",
                                  {{"cpu", facts.machine.cpu},
                                   {"cores", facts.machine.cores},
                                   {"caches", caches},
                                   {"memory_gib", facts.machine.memory_gib},
                                   {"kernel", facts.machine.kernel}}},
                                 {"versions", versions},
                                 {"command", facts.command},
                                 {"world_size", facts.world_size},
                                 {"hosts", facts.hosts},
                                 {"backend", facts.backend},
                                 {"backend_reason", facts.backend_reason},
                                 {"reduction_order", facts.reduction_order},
                                 {"warm_heap", facts.warm_heap},
                                 {"barrier_us", facts.barrier_s * 1e6}};
  if (!facts.machine.gpu.empty()) json["machine"]["gpu"] = facts.machine.gpu;
  return json.dump();
}

}  // namespace lockstep

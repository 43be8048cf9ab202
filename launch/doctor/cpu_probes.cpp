#include "launch/doctor/cpu_probes.h"

#include <charconv>
#include <cmath>
#include <sstream>

#include "launch/doctor/control_groups.h"

namespace lockstep {
namespace {

int allowed_cpus(const ProbeSource& source) {
  constexpr std::string_view kName = "Cpus_allowed_list:";
  std::istringstream lines(source.text("proc/self/status").value_or(""));
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with(kName)) continue;
    const std::size_t begin = line.find_first_not_of(" \t", kName.size());
    return begin == std::string::npos ? 0 : count_cpus(line.substr(begin));
  }
  return 0;
}

// With one decimal, and none where it is whole.
std::string amount(double number) {
  const auto tenths = std::llround(number * 10);
  return std::to_string(tenths / 10) + (tenths % 10 == 0 ? "" : "." + std::to_string(tenths % 10));
}

}  // namespace

Finding probe_cpus(const ProbeSource& source) {
  constexpr const char* kTopic = "cpus";
  const int online = count_cpus(source.text("sys/devices/system/cpu/online").value_or(""));
  const int allowed = allowed_cpus(source);
  const std::string container = container_kind(source);
  std::string text = std::to_string(allowed) + " may be used, of " + std::to_string(online);
  if (!container.empty()) text += ", in a container (" + container + ")";
  const auto quota = control_group_cpus(source);
  if (quota && *quota < allowed) {
    return warning(kTopic, text + ", which allows them the time of " + amount(*quota),
                   "threads beyond that are stopped again and again: set OMP_NUM_THREADS to " +
                       amount(std::floor(std::max(1.0, *quota))) +
                       " / --nproc-per-node, or raise the container's limit (docker run --cpus)");
  }
  if (allowed > 0 && allowed < online)
    return warning(kTopic, text,
                   "if that is not meant, look at taskset, cpusets and the batch system's request");
  return ok(kTopic, text);
}

Finding probe_governor(const ProbeSource& source) {
  constexpr const char* kTopic = "cpu clocks";
  const std::string folder = "sys/devices/system/cpu/cpu0/cpufreq/";
  const auto governor = source.text(folder + "scaling_governor");
  if (!governor) return ok(kTopic, "this system does not say; in a virtual machine they are the host's");
  const std::string driver = source.text(folder + "scaling_driver").value_or("");
  const std::string text = "governor " + *governor + (driver.empty() ? "" : " (" + driver + ")");
  // With these drivers in their active mode "powersave" only means that the processor decides by itself.
  const bool decides_itself = driver == "intel_pstate" || driver == "amd-pstate-epp";
  const std::string preference = source.text(folder + "energy_performance_preference").value_or("");
  if (decides_itself && preference == "power") {
    return warning(kTopic, text + ", preference power",
                   "cpupower set --epb 0, or tuned-adm profile throughput-performance");
  }
  if ((*governor == "powersave" && !decides_itself) || *governor == "conservative")
    return warning(kTopic, text, "cpupower frequency-set -g performance, as root");
  return ok(kTopic, text);
}

Findings probe_threads(const ProbeSource& source) {
  constexpr const char* kTopic = "threads";
  Findings findings;
  const int allowed = allowed_cpus(source);
  const std::string threads = source.variable("OMP_NUM_THREADS");
  if (!threads.empty()) {
    int number = 0;
    const auto [end, error] = std::from_chars(threads.data(), threads.data() + threads.size(), number);
    if (error != std::errc() || end != threads.data() + threads.size() || number < 1) {
      findings.push_back(warning(kTopic, "OMP_NUM_THREADS is \"" + threads + "\", which is no number from 1",
                                 "unset it: lockstep train sets a share of the cores for each rank"));
    } else if (allowed > 0 && number > allowed) {
      findings.push_back(warning(
          kTopic,
          "OMP_NUM_THREADS is " + threads + ", and a rank may use " + std::to_string(allowed) + " CPUs",
          "unset it: lockstep train sets a share of the cores for each rank"));
    } else {
      findings.push_back(ok(kTopic, "OMP_NUM_THREADS is " + threads + " for every rank"));
    }
  }
  for (const char* name : {"OMP_PROC_BIND", "OMP_PLACES", "KMP_AFFINITY", "GOMP_CPU_AFFINITY"}) {
    const std::string value = source.variable(name);
    if (value.empty() || value == "false" || value == "FALSE") continue;
    findings.push_back(warning(
        kTopic,
        std::string(name) + "=" + value + ": all ranks of a machine bind their threads to the same cores",
        "unset it: lockstep binds nothing, and leaves that to the kernel"));
  }
  for (const char* name : {"OMPI_MCA_hwloc_base_binding_policy", "OMPI_MCA_rmaps_base_mapping_policy"}) {
    const std::string value = source.variable(name);
    if (!value.empty() && value != "none")
      findings.push_back(ok(kTopic, std::string(name) + "=" + value + " is overruled by the launcher"));
  }
  if (findings.empty())
    findings.push_back(ok(kTopic, "nothing set: each rank gets its share of the cores, bound to none"));
  return findings;
}

}  // namespace lockstep

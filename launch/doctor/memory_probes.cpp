#include "launch/doctor/memory_probes.h"

#include <sstream>

#include "launch/doctor/control_groups.h"

namespace lockstep {
namespace {

constexpr double kKib = 1024.0;

// "MemTotal:  49368192 kB", in bytes; 0 where it is not there.
double memory_info(const ProbeSource& source, const std::string& name) {
  std::istringstream lines(source.text("proc/meminfo").value_or(""));
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string key;
    double kib = 0;
    if (words >> key >> kib && key == name + ":") return kib * kKib;
  }
  return 0;
}

}  // namespace

Finding probe_shared_memory(const ProbeSource& source) {
  constexpr const char* kTopic = "shared memory";
  constexpr std::int64_t kContainersOwn = std::int64_t{64} << 20;  // Docker's, unless it is told otherwise
  constexpr std::int64_t kEnough = std::int64_t{1} << 30;
  const auto size = source.filesystem_size(source.root / "dev/shm");
  const std::string remedy =
      "give the container more: docker run --shm-size=8g or --ipc=host; in Kubernetes an emptyDir with "
      "medium: Memory at /dev/shm";
  if (!size)
    return warning(kTopic, "/dev/shm is not there", "mount a tmpfs there: NCCL needs it between GPUs");
  const std::string text = "/dev/shm has " + gigabytes(static_cast<double>(size->total_bytes)) + ", " +
                           gigabytes(static_cast<double>(size->free_bytes)) + " free";
  if (size->total_bytes <= kContainersOwn)
    return warning(kTopic, text + ": a container's default, too little for NCCL between several GPUs",
                   remedy);
  if (size->free_bytes < kContainersOwn)
    return warning(kTopic, text, "remove what killed programs have left there (ls -l /dev/shm)");
  if (size->total_bytes < kEnough) return warning(kTopic, text, remedy);
  return ok(kTopic, text);
}

Finding probe_locked_memory(const ProbeSource& source) {
  constexpr const char* kTopic = "locked memory";
  const bool infiniband = !source.names("sys/class/infiniband").empty();
  std::istringstream lines(source.text("proc/self/limits").value_or(""));
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("Max locked memory")) continue;
    std::istringstream words(line);
    std::string word;
    std::string soft;
    words >> word >> word >> word >> soft;
    if (soft == "unlimited") return ok(kTopic, "unlimited");
    if (!infiniband) return ok(kTopic, soft + " bytes; without InfiniBand nothing needs more");
    return failure(kTopic, soft + " bytes, and InfiniBand has to lock its buffers",
                   "ulimit -l unlimited: * hard memlock unlimited and * soft memlock unlimited in "
                   "/etc/security/limits.conf; docker run --ulimit memlock=-1");
  }
  return ok(kTopic, "this system does not say how much may be locked");
}

Finding probe_huge_pages(const ProbeSource& source) {
  constexpr const char* kTopic = "huge pages";
  const auto enabled = source.text("sys/kernel/mm/transparent_hugepage/enabled");
  if (!enabled) return ok(kTopic, "this kernel has no transparent ones");
  const std::size_t begin = enabled->find('[');
  const std::size_t end = enabled->find(']');
  if (begin == std::string::npos || end == std::string::npos || end < begin)
    return ok(kTopic, "transparent ones: " + enabled->substr(0, enabled->find('\n')));
  const std::string chosen = enabled->substr(begin + 1, end - begin - 1);
  if (chosen == "never")
    return warning(kTopic, "transparent ones are off: large tensors cost more page faults and look-ups",
                   "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled, as root on the host");
  return ok(kTopic, "transparent ones: " + chosen);
}

Finding probe_memory_limit(const ProbeSource& source) {
  constexpr const char* kTopic = "memory";
  const double total = memory_info(source, "MemTotal");
  const double available = memory_info(source, "MemAvailable");
  const auto limit = control_group_memory(source);
  std::string text = gigabytes(total) + ", " + gigabytes(available) + " available";
  if (limit && static_cast<double>(*limit) < total) {
    return warning(kTopic,
                   text + ", of which this container may use " + gigabytes(static_cast<double>(*limit)),
                   "a rank that takes more is killed: plan with that (lockstep estimate), or raise the "
                   "container's limit");
  }
  constexpr double kLittle = 2e9;
  if (available > 0 && available < kLittle) return warning(kTopic, text, "end what else uses it");
  return ok(kTopic, text);
}

}  // namespace lockstep

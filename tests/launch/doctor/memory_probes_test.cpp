#include "launch/doctor/memory_probes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/launch/doctor/fake_machine.h"

namespace lockstep {
namespace {

using ::testing::HasSubstr;

Finding with_shared_memory(std::int64_t total, std::int64_t free) {
  FakeMachine machine;
  machine.source().filesystem_size = [&](const std::filesystem::path& path) {
    EXPECT_EQ(path, machine.folder() / "dev/shm");
    return std::optional(FilesystemSize{total, free});
  };
  return probe_shared_memory(machine.source());
}

TEST(SharedMemoryProbe, AContainersDefaultIsTooLittle) {
  const std::int64_t mib = 1 << 20;
  EXPECT_THAT(shown(with_shared_memory(64 * mib, 64 * mib)),
              HasSubstr("warning: /dev/shm has 0.067 GB, 0.067 GB free: a container's default"));
  EXPECT_EQ(with_shared_memory(512 * mib, 512 * mib).verdict, Verdict::kWarning);
  EXPECT_EQ(with_shared_memory(16000 * mib, 16000 * mib).verdict, Verdict::kOk);
  EXPECT_THAT(with_shared_memory(16000 * mib, 10 * mib).remedy, HasSubstr("remove what killed programs"));
  FakeMachine without;
  without.source().filesystem_size = [](const auto&) { return std::nullopt; };
  EXPECT_EQ(probe_shared_memory(without.source()).verdict, Verdict::kWarning);
}

TEST(LockedMemoryProbe, InfinibandNeedsIt) {
  const std::string limits =
      "Limit                     Soft Limit           Hard Limit           Units     \n"
      "Max locked memory         65536                65536                bytes     \n";
  FakeMachine machine;
  machine.write("proc/self/limits", limits);
  EXPECT_EQ(shown(probe_locked_memory(machine.source())),
            "ok: 65536 bytes; without InfiniBand nothing needs more");
  machine.write("sys/class/infiniband/mlx5_0/node_type", "1: CA");
  EXPECT_EQ(shown(probe_locked_memory(machine.source())),
            "failure: 65536 bytes, and InfiniBand has to lock its buffers");
  machine.write("proc/self/limits",
                "Max locked memory         unlimited            unlimited            bytes\n");
  EXPECT_EQ(shown(probe_locked_memory(machine.source())), "ok: unlimited");
}

TEST(HugePagesProbe, NeverIsAWarning) {
  const std::string file = "sys/kernel/mm/transparent_hugepage/enabled";
  FakeMachine machine;
  machine.write(file, "always [madvise] never\n");
  EXPECT_EQ(shown(probe_huge_pages(machine.source())), "ok: transparent ones: madvise");
  machine.write(file, "always madvise [never]\n");
  EXPECT_EQ(probe_huge_pages(machine.source()).verdict, Verdict::kWarning);
  FakeMachine without;
  EXPECT_EQ(probe_huge_pages(without.source()).verdict, Verdict::kOk);
}

TEST(MemoryLimitProbe, SaysWhatTheContainerLeaves) {
  FakeMachine machine;
  machine.write("proc/meminfo", "MemTotal:       64000000 kB\nMemFree: 1 kB\nMemAvailable:   60000000 kB\n");
  machine.write("proc/self/cgroup", "0::/\n");
  EXPECT_EQ(shown(probe_memory_limit(machine.source())), "ok: 65.5 GB, 61.4 GB available");
  machine.write("sys/fs/cgroup/memory.max", "8000000000\n");
  EXPECT_EQ(shown(probe_memory_limit(machine.source())),
            "warning: 65.5 GB, 61.4 GB available, of which this container may use 8.0 GB");
  machine.write("sys/fs/cgroup/memory.max", "max\n");
  machine.write("proc/meminfo", "MemTotal: 64000000 kB\nMemAvailable: 1000000 kB\n");
  EXPECT_EQ(probe_memory_limit(machine.source()).verdict, Verdict::kWarning);
}

}  // namespace
}  // namespace lockstep

#include "launch/doctor/control_groups.h"

#include <gtest/gtest.h>

#include "tests/launch/doctor/fake_machine.h"

namespace lockstep {
namespace {

TEST(ControlGroups, VersionTwoTakesTheLeastOfAllAbove) {
  FakeMachine machine({{"proc/self/cgroup", "0::/pod/ours\n"},
                       {"sys/fs/cgroup/pod/ours/cpu.max", "max 100000\n"},
                       {"sys/fs/cgroup/pod/cpu.max", "250000 100000\n"},
                       {"sys/fs/cgroup/pod/ours/memory.max", "4000\n"},
                       {"sys/fs/cgroup/pod/memory.max", "max\n"}});
  EXPECT_EQ(control_group_cpus(machine.source()), 2.5);
  EXPECT_EQ(control_group_memory(machine.source()), 4000);
}

TEST(ControlGroups, VersionOneHasAFolderForEachController) {
  FakeMachine machine({{"proc/self/cgroup", "4:memory:/job\n2:cpuacct,cpu:/job\n"},
                       {"sys/fs/cgroup/cpu/job/cpu.cfs_quota_us", "50000\n"},
                       {"sys/fs/cgroup/cpu/job/cpu.cfs_period_us", "100000\n"},
                       {"sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n"},
                       {"sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"},
                       {"sys/fs/cgroup/memory/job/memory.limit_in_bytes", "5000\n"},
                       {"sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"}});
  EXPECT_EQ(control_group_cpus(machine.source()), 0.5);
  EXPECT_EQ(control_group_memory(machine.source()), 5000);
}

TEST(ControlGroups, NoLimitIsNone) {
  for (const char* groups : {"", "0::/\n", "0::/../outside\n", "nonsense\n"}) {
    FakeMachine machine;
    machine.write("proc/self/cgroup", groups).write("sys/fs/cgroup/cpu.max", "max 100000\n");
    EXPECT_EQ(control_group_cpus(machine.source()), std::nullopt);
    EXPECT_EQ(control_group_memory(machine.source()), std::nullopt);
  }
}

TEST(ControlGroups, KnowsContainersByTheirMarks) {
  FakeMachine machine;
  EXPECT_EQ(container_kind(machine.source()), "");
  machine.write(".dockerenv", "");
  EXPECT_EQ(container_kind(machine.source()), "Docker");
  machine.source().environment["KUBERNETES_SERVICE_HOST"] = "10.0.0.1";
  EXPECT_EQ(container_kind(machine.source()), "Kubernetes");
}

}  // namespace
}  // namespace lockstep

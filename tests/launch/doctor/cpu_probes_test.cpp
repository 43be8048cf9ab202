#include "launch/doctor/cpu_probes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/launch/doctor/fake_machine.h"

namespace lockstep {
namespace {

using ::testing::HasSubstr;

const std::map<std::string, std::string> kEight = {{"sys/devices/system/cpu/online", "0-7\n"},
                                                   {"proc/self/status", "Name: x\nCpus_allowed_list:\t0-7\n"},
                                                   {"proc/self/cgroup", "0::/\n"}};

TEST(CpusProbe, AContainersShareOfTheirTimeCounts) {
  FakeMachine machine(kEight);
  EXPECT_EQ(shown(probe_cpus(machine.source())), "ok: 8 may be used, of 8");
  machine.write("sys/fs/cgroup/cpu.max", "250000 100000\n");
  const Finding finding = probe_cpus(machine.source());
  EXPECT_EQ(shown(finding), "warning: 8 may be used, of 8, which allows them the time of 2.5");
  EXPECT_THAT(finding.remedy, HasSubstr("set OMP_NUM_THREADS to 2 / --nproc-per-node"));
  machine.write("sys/fs/cgroup/cpu.max", "800000 100000\n");
  EXPECT_EQ(probe_cpus(machine.source()).verdict, Verdict::kOk);
}

TEST(CpusProbe, AnAffinityIsSaid) {
  FakeMachine machine(kEight);
  machine.write("proc/self/status", "Cpus_allowed_list:\t0,2\n");
  EXPECT_EQ(shown(probe_cpus(machine.source())), "warning: 2 may be used, of 8");
}

TEST(GovernorProbe, PowersaveIsFineOnlyWhereTheProcessorDecides) {
  const std::string folder = "sys/devices/system/cpu/cpu0/cpufreq/";
  FakeMachine machine;
  EXPECT_EQ(probe_governor(machine.source()).verdict, Verdict::kOk);
  machine.write(folder + "scaling_governor", "powersave\n")
      .write(folder + "scaling_driver", "acpi-cpufreq\n");
  EXPECT_EQ(shown(probe_governor(machine.source())), "warning: governor powersave (acpi-cpufreq)");
  machine.write(folder + "scaling_driver", "intel_pstate\n");
  EXPECT_EQ(probe_governor(machine.source()).verdict, Verdict::kOk);
  machine.write(folder + "energy_performance_preference", "power\n");
  EXPECT_EQ(probe_governor(machine.source()).verdict, Verdict::kWarning);
}

TEST(ThreadsProbe, ChecksTheirNumberAndTheirBinding) {
  FakeMachine machine(kEight);
  const auto with = [&](Environment environment) {
    machine.source().environment = std::move(environment);
    return shown(probe_threads(machine.source()));
  };
  EXPECT_EQ(with({}), "ok: nothing set: each rank gets its share of the cores, bound to none");
  EXPECT_EQ(with({{"OMP_NUM_THREADS", "4"}}), "ok: OMP_NUM_THREADS is 4 for every rank");
  EXPECT_THAT(with({{"OMP_NUM_THREADS", "64"}}),
              HasSubstr("warning: OMP_NUM_THREADS is 64, and a rank may use 8"));
  EXPECT_THAT(with({{"OMP_NUM_THREADS", "all"}}), HasSubstr("warning: OMP_NUM_THREADS is \"all\""));
  EXPECT_THAT(with({{"KMP_AFFINITY", "compact"}}), HasSubstr("warning: KMP_AFFINITY=compact"));
  EXPECT_EQ(with({{"OMP_PROC_BIND", "false"}}),
            "ok: nothing set: each rank gets its share of the cores, bound to none");
}

}  // namespace
}  // namespace lockstep

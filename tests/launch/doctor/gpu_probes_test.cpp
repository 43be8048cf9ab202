#include "launch/doctor/gpu_probes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include "tests/launch/doctor/fake_machine.h"
#include "trainer/nvml/nvml.h"

namespace lockstep {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr int kCuda = 13000;

// The fake driver's two GPUs, after `variables` are set.
GpuSystem ask_fake_driver(const std::vector<std::pair<const char*, const char*>>& variables = {}) {
  for (const auto& [name, value] : variables) setenv(name, value, 1);
  const GpuSystem system = Nvml::load(FAKE_NVML)->describe();
  for (const auto& [name, value] : variables) unsetenv(name);
  return system;
}

TEST(DriverProbe, AMachineWithoutAGpuIsNoFailure) {
  FakeMachine machine;
  EXPECT_EQ(shown(probe_driver(machine.source(), std::nullopt, kCuda)),
            "ok: no NVIDIA GPU and no driver: training works on the CPU (--device cpu)");
}

TEST(DriverProbe, AGpuThatNoDriverAnswersForIs) {
  FakeMachine machine({{"sys/bus/pci/devices/0000:1b:00.0/vendor", "0x10de\n"},
                       {"sys/bus/pci/devices/0000:1b:00.0/class", "0x030200\n"},
                       {"sys/bus/pci/devices/0000:00:02.0/vendor", "0x8086\n"},
                       {"sys/bus/pci/devices/0000:00:02.0/class", "0x030000\n"}});
  EXPECT_EQ(nvidia_gpus_on_pci(machine.source()), std::vector<std::string>{"0000:1b:00.0"});
  auto findings = probe_driver(machine.source(), std::nullopt, kCuda);
  EXPECT_THAT(shown(findings),
              HasSubstr("failure: 1 NVIDIA GPU(s) on the PCI bus (0000:1b:00.0), and no driver"));
  EXPECT_THAT(findings[0].remedy, HasSubstr("driver 580 or newer"));
  machine.write("proc/driver/nvidia/version", "NVRM version: ...");
  findings = probe_driver(machine.source(), std::nullopt, kCuda);
  EXPECT_EQ(findings[0].verdict, Verdict::kFailure);
  EXPECT_THAT(findings[0].remedy, HasSubstr("--gpus all"));
}

TEST(DriverProbe, ItsCudaHasToBeThisBuildsOrNewer) {
  FakeMachine machine;
  EXPECT_EQ(shown(probe_driver(machine.source(), ask_fake_driver(), kCuda)),
            "ok: driver 580.95.05, CUDA 13.0; this build needs 13.0\nok: 1 x NVIDIA \"H200\", 1 x old");
  // Any driver of CUDA 13 runs what any toolkit of CUDA 13 has built.
  EXPECT_EQ(probe_driver(machine.source(), ask_fake_driver(), 13010)[0].verdict, Verdict::kOk);
  const auto findings = probe_driver(machine.source(), ask_fake_driver({{"FAKE_NVML_CUDA", "12040"}}), kCuda);
  EXPECT_EQ(shown(findings[0]), "failure: driver 580.95.05 knows CUDA 12.4, and this build needs 13.0");
  EXPECT_EQ(findings[0].remedy, "install driver 580 or newer");
}

TEST(DriverProbe, GpusThatCudaHasDroppedAndHiddenOnesAreSaid) {
  FakeMachine machine({}, {{"CUDA_VISIBLE_DEVICES", ""}});
  GpuSystem system = ask_fake_driver();
  system.gpus[1].compute_capability = 70;
  const std::string text = shown(probe_driver(machine.source(), system, kCuda));
  EXPECT_THAT(text, HasSubstr("failure: GPU 1 (old) has compute capability 7.0"));
  EXPECT_THAT(text, HasSubstr("warning: CUDA_VISIBLE_DEVICES is \"\""));
}

TEST(TopologyProbe, SaysHowGpusAreJoined) {
  FakeMachine machine;
  GpuSystem system = ask_fake_driver();
  EXPECT_EQ(shown(probe_topology(machine.source(), system)),
            "ok: NVLink on some GPUs only; over PCIe the farthest two are joined by a PCIe host bridge; PCIe "
            "5.0 x16");
  system.gpus[1].nvlinks = 18;
  EXPECT_THAT(shown(probe_topology(machine.source(), system)), HasSubstr("NVLink on every GPU (4 links"));
  EXPECT_TRUE(probe_topology(machine.source(), GpuSystem{}).empty());
}

TEST(TopologyProbe, WarnsOfLostLanesPeersAndNodes) {
  FakeMachine machine({{"sys/devices/system/node/node0/cpulist", "0-7"},
                       {"sys/devices/system/node/node1/cpulist", "8-15"},
                       {"sys/bus/pci/devices/0000:1b:00.0/numa_node", "-1\n"},
                       {"sys/bus/pci/devices/0000:43:00.0/numa_node", "1\n"}});
  const std::string text =
      shown(probe_topology(machine.source(), ask_fake_driver({{"FAKE_NVML_SICK", "1"}})));
  EXPECT_THAT(text, HasSubstr("warning: GPU 0 (NVIDIA \"H200\") uses 4 of 16 PCIe lanes"));
  EXPECT_THAT(text,
              HasSubstr("warning: 1 of 1 pairs of GPUs cannot read each other's memory, such as 0 and 1"));
  EXPECT_THAT(text, HasSubstr("warning: GPU 0 (NVIDIA \"H200\") belongs to no NUMA node"));
  EXPECT_THAT(text, Not(HasSubstr("GPU 1 (old) belongs")));
}

TEST(GpuClocksProbe, WarnsOfWhatSlowsDown) {
  EXPECT_EQ(shown(probe_gpu_clocks(ask_fake_driver())), "ok: nothing slows the GPUs down");
  EXPECT_EQ(
      shown(probe_gpu_clocks(ask_fake_driver({{"FAKE_NVML_SICK", "1"}}))),
      "warning: GPU 0 (NVIDIA \"H200\") is slowed down by heat\n"
      "warning: GPU 0 (NVIDIA \"H200\") is held at 990 MHz for applications, of 1980\n"
      "warning: GPU 0 (NVIDIA \"H200\") is not in persistence mode: every start of a run loads the driver "
      "anew");
}

}  // namespace
}  // namespace lockstep

#include "launch/doctor/pci_probes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/launch/doctor/fake_machine.h"

namespace lockstep {
namespace {

using ::testing::HasSubstr;

const std::vector<std::string> kTwoGpus = {"0000:1b:00.0", "0000:43:00.0"};

void put_word(std::string& config, std::size_t offset, unsigned word) {
  config[offset] = static_cast<char>(word & 0xff);
  config[offset + 1] = static_cast<char>(word >> 8);
}

// A bridge's 4 KiB: at 0x100 a capability of another kind, which leads to ACS at 0x148.
std::string config_with_access_control(unsigned control) {
  std::string config(4096, '\0');
  put_word(config, 0x100, 0x0001);  // advanced error reporting
  put_word(config, 0x102, 0x1481);  // the next one's offset, and its version
  put_word(config, 0x148, 0x000D);
  put_word(config, 0x14a, 0x0001);
  put_word(config, 0x14e, control);
  return config;
}

FakeMachine& add_bridge(FakeMachine& machine, const std::string& address, const std::string& config) {
  const std::string folder = "sys/bus/pci/devices/" + address;
  return machine.write(folder + "/class", "0x060400\n").write(folder + "/config", config);
}

TEST(AccessControl, IsFoundInTheListOfCapabilities) {
  EXPECT_EQ(access_control_of(config_with_access_control(0x1d)), 0x1du);
  EXPECT_EQ(access_control_of(std::string(4096, '\0')), std::nullopt);
  EXPECT_EQ(access_control_of(std::string(64, '\0')), std::nullopt);
  EXPECT_EQ(access_control_of(""), std::nullopt);
  std::string circle(4096, '\0');
  put_word(circle, 0x100, 0x0001);
  put_word(circle, 0x102, 0x1001);
  EXPECT_EQ(access_control_of(circle), std::nullopt);
  std::string outside(4096, '\0');
  put_word(outside, 0x100, 0x0001);
  put_word(outside, 0x102, 0xfff1);
  EXPECT_EQ(access_control_of(outside), std::nullopt);
}

TEST(AccessControlProbe, MattersBetweenTwoGpus) {
  FakeMachine machine;
  add_bridge(machine, "0000:00:01.0", config_with_access_control(0x1d));
  EXPECT_TRUE(probe_access_control(machine.source(), {"0000:1b:00.0"}).empty());
  const auto findings = probe_access_control(machine.source(), kTwoGpus);
  EXPECT_THAT(shown(findings), HasSubstr("at 1 PCIe bridges, such as 0000:00:01.0"));
  EXPECT_EQ(findings[0].verdict, Verdict::kWarning);
  // Source validation alone redirects nothing.
  add_bridge(machine, "0000:00:01.0", config_with_access_control(0x1));
  EXPECT_EQ(probe_access_control(machine.source(), kTwoGpus)[0].verdict, Verdict::kOk);
}

TEST(AccessControlProbe, SaysWhereOnlyRootCanTell) {
  FakeMachine machine;
  add_bridge(machine, "0000:00:01.0", std::string(64, '\0'));
  EXPECT_THAT(shown(probe_access_control(machine.source(), kTwoGpus)), HasSubstr("warning: only root"));
}

TEST(IommuProbe, TranslationInFrontOfAGpuIsAWarning) {
  FakeMachine machine;
  machine.write("sys/class/iommu/dmar0/devices/x", "");
  EXPECT_EQ(shown(probe_iommu(machine.source(), {})), "ok: there is one");
  EXPECT_EQ(shown(probe_iommu(machine.source(), kTwoGpus)), "ok: passes the GPUs' accesses through");
  machine.write("sys/bus/pci/devices/0000:43:00.0/iommu_group/type", "DMA-FQ\n");
  EXPECT_THAT(shown(probe_iommu(machine.source(), kTwoGpus)),
              HasSubstr("warning: the IOMMU translates what 1 GPU(s) read and write, such as 0000:43:00.0"));
}

TEST(IommuProbe, KnowsAVirtualMachine) {
  FakeMachine machine;
  machine.write("proc/cpuinfo", "processor : 0\nflags\t\t: fpu hypervisor sse\nbugs:\n");
  EXPECT_EQ(shown(probe_iommu(machine.source(), {})), "ok: none in this virtual machine");
  EXPECT_THAT(shown(probe_iommu(machine.source(), kTwoGpus)), HasSubstr("ATS"));
  machine.write("proc/cpuinfo", "flags : fpu sse\n");
  EXPECT_EQ(shown(probe_iommu(machine.source(), {})), "ok: none");
}

}  // namespace
}  // namespace lockstep

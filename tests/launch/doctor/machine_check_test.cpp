#include "launch/doctor/machine_check.h"

#include <gtest/gtest.h>

#include <set>

#include "tests/launch/doctor/fake_machine.h"
#include "trainer/nvml/nvml.h"

namespace lockstep {
namespace {

std::set<std::string> topics(const Findings& findings) {
  std::set<std::string> names;
  for (const Finding& finding : findings) names.insert(finding.topic);
  return names;
}

TEST(MachineCheck, BuildFactsAreThoseOfTheWheel) {
  const BuildFacts build = build_facts();
  EXPECT_GE(build.cuda, 12000);
  EXPECT_GE(build.nccl, 22700);
  EXPECT_TRUE(std::filesystem::exists(build.nccl_library));
}

TEST(MachineCheck, LooksAtEverythingEvenWhereNothingCanBeRead) {
  FakeMachine machine;
  const auto check = check_machine(machine.source(), std::nullopt, build_facts());
  EXPECT_EQ(topics(check.findings), (std::set<std::string>{"driver", "iommu", "nccl", "nccl settings", "cpus",
                                                           "cpu clocks", "threads", "memory", "shared memory",
                                                           "locked memory", "huge pages", "mtu", "ports"}));
  EXPECT_EQ(count({{"x", check.findings}}, Verdict::kFailure), 0);
  EXPECT_EQ(check.driver, "");
  EXPECT_EQ(check.nccl, build_facts().nccl);
}

TEST(MachineCheck, AGpuHasMoreToLookAt) {
  FakeMachine machine;
  const auto check = check_machine(machine.source(), Nvml::load(FAKE_NVML)->describe(), build_facts());
  const auto names = topics(check.findings);
  for (const char* topic : {"gpus", "topology", "gpu clocks", "pcie access"})
    EXPECT_TRUE(names.contains(topic)) << topic;
  EXPECT_EQ(check.driver, "580.95.05");
}

TEST(MachineCheck, AnotherNcclOnTheLibraryPathIsTheOneThatCounts) {
  TemporaryFolder folder;
  write_text(folder.path() / std::filesystem::path(build_facts().nccl_library).filename(), "no library");
  FakeMachine machine({}, {{"LD_LIBRARY_PATH", "/no/such/folder:" + folder.path().string()}});
  const auto check = check_machine(machine.source(), std::nullopt, build_facts());
  EXPECT_EQ(check.nccl, 0);
  EXPECT_EQ(count({{"x", check.findings}}, Verdict::kFailure), 1);
}

}  // namespace
}  // namespace lockstep

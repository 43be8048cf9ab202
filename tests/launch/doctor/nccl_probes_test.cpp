#include "launch/doctor/nccl_probes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "launch/doctor/machine_check.h"
#include "tests/launch/doctor/fake_machine.h"

namespace lockstep {
namespace {

using ::testing::HasSubstr;

TEST(NcclVersionProbe, AnOlderOneThanThisBuildsIsAFailure) {
  EXPECT_EQ(shown(probe_nccl_version(22809, 22809, "libnccl.so.2")), "ok: 2.28.9, built with 2.28.9");
  EXPECT_EQ(shown(probe_nccl_version(21903, 22809, "/opt/libnccl.so.2")),
            "failure: /opt/libnccl.so.2 is 2.19.3, built with 2.28.9");
  EXPECT_EQ(probe_nccl_version(23003, 22809, "x").verdict, Verdict::kWarning);
  EXPECT_EQ(shown(probe_nccl_version(0, 22809, "/no/libnccl.so.2")),
            "failure: /no/libnccl.so.2 cannot be loaded");
}

TEST(NcclVersionProbe, AsksTheLibraryThatProgramsLoad) {
  const BuildFacts build = build_facts();
  EXPECT_EQ(nccl_version_of(build.nccl_library), build.nccl);
  EXPECT_EQ(nccl_version_of("/no/such/libnccl.so.2"), 0);
  EXPECT_EQ(nccl_version_of("libz.so.1"), 0);
}

TEST(NcclSettingsProbe, NothingSetIsFine) {
  FakeMachine machine({}, {{"HOME", "/root"}});
  EXPECT_EQ(shown(probe_nccl_settings(machine.source())), "ok: none");
  machine.source().environment["NCCL_DEBUG"] = "WARN";
  EXPECT_EQ(shown(probe_nccl_settings(machine.source())), "ok: 1, none that hurts");
}

TEST(NcclSettingsProbe, TheEnvironmentGoesBeforeTheFiles) {
  FakeMachine machine({{"root/.nccl.conf", "# ours\nNCCL_P2P_DISABLE=1\nNCCL_SHM_DISABLE=1\n"},
                       {"etc/nccl.conf", "NCCL_SHM_DISABLE=0\nNCCL_ALGO=Ring\n"}},
                      {{"HOME", "/root"}, {"NCCL_P2P_DISABLE", "0"}});
  EXPECT_EQ(shown(probe_nccl_settings(machine.source())),
            "warning: NCCL_SHM_DISABLE=1 in /root/.nccl.conf: ranks of one machine talk over sockets\n"
            "warning: NCCL_ALGO=Ring in /etc/nccl.conf: NCCL no longer chooses the algorithm by the size");
}

TEST(NcclSettingsProbe, WhatDisablesInfinibandHurtsOnlyWhereThereIsOne) {
  FakeMachine machine({}, {{"NCCL_IB_DISABLE", "1"}});
  EXPECT_EQ(probe_nccl_settings(machine.source())[0].verdict, Verdict::kOk);
  machine.write("sys/class/infiniband/mlx5_0/node_type", "1: CA");
  EXPECT_EQ(shown(probe_nccl_settings(machine.source())),
            "warning: NCCL_IB_DISABLE=1: InfiniBand is there and not used");
}

TEST(NcclSettingsProbe, AnInterfaceThatIsNotThereIsAFailure) {
  FakeMachine machine({{"sys/class/net/lo/mtu", "65536"}, {"sys/class/net/ens5/mtu", "9001"}},
                      {{"NCCL_SOCKET_IFNAME", "eth0"}});
  const auto findings = probe_nccl_settings(machine.source());
  EXPECT_EQ(shown(findings), "failure: NCCL_SOCKET_IFNAME=eth0 names no interface of this machine");
  EXPECT_EQ(findings[0].remedy, "there are ens5, lo");
  for (const auto& [value, text] : std::vector<std::pair<std::string, std::string>>{
           {"ens", "ok: 1, none that hurts"}, {"^lo", "ok: 1, none that hurts"}, {"lo", "warning: "}}) {
    machine.source().environment["NCCL_SOCKET_IFNAME"] = value;
    EXPECT_THAT(shown(probe_nccl_settings(machine.source())), HasSubstr(text));
  }
}

}  // namespace
}  // namespace lockstep

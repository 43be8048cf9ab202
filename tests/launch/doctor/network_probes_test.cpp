#include "launch/doctor/network_probes.h"

#include <gtest/gtest.h>

#include "tests/launch/doctor/fake_machine.h"

namespace lockstep {
namespace {

void add_interface(FakeMachine& machine, const std::string& name, const char* type, const char* state,
                   const char* mtu, const char* speed) {
  const std::string folder = "sys/class/net/" + name + "/";
  machine.write(folder + "type", type).write(folder + "operstate", state);
  machine.write(folder + "mtu", mtu).write(folder + "speed", speed);
}

TEST(MtuProbe, SmallFramesOnAFastLinkAreAWarning) {
  FakeMachine machine;
  EXPECT_EQ(shown(probe_mtu(machine.source())), "ok: no network interface but loopback");
  add_interface(machine, "lo", "772\n", "unknown\n", "65536\n", "");
  add_interface(machine, "eth0", "1\n", "up\n", "1500\n", "1000\n");
  add_interface(machine, "eth1", "1\n", "down\n", "1500\n", "100000\n");
  add_interface(machine, "veth", "1\n", "unknown\n", "1500\n", "-1\n");
  EXPECT_EQ(shown(probe_mtu(machine.source())), "ok: eth0 1500 at 1.0 Gb/s, veth 1500");
  add_interface(machine, "eth1", "1\n", "up\n", "1500\n", "25000\n");
  add_interface(machine, "eth2", "1\n", "up\n", "9000\n", "25000\n");
  EXPECT_EQ(shown(probe_mtu(machine.source())),
            "warning: eth1 1500 at 25.0 Gb/s: small frames on a fast link\n"
            "ok: eth0 1500 at 1.0 Gb/s, eth2 9000 at 25.0 Gb/s, veth 1500");
}

TEST(EphemeralPortsProbe, FewAreAWarning) {
  const std::string file = "proc/sys/net/ipv4/ip_local_port_range";
  FakeMachine machine;
  machine.write(file, "32768\t60999\n");
  EXPECT_EQ(shown(probe_ephemeral_ports(machine.source())), "ok: connections get ports 32768 to 60999");
  machine.write(file, "50000 50100\n");
  EXPECT_EQ(ephemeral_ports(machine.source()), std::pair(50000, 50100));
  EXPECT_EQ(probe_ephemeral_ports(machine.source()).verdict, Verdict::kWarning);
  for (const char* damaged : {"", "x y", "70000 80000", "9 1"}) {
    machine.write(file, damaged);
    EXPECT_EQ(ephemeral_ports(machine.source()), std::pair(32768, 60999)) << damaged;
  }
}

}  // namespace
}  // namespace lockstep

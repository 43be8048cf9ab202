"""Several hosts on one machine, as network namespaces on one bridge: a host that keeps failing is left out. Needs root."""

import contextlib
import os
import signal
import subprocess
import unittest

from resume_test import rank_pids
from run import command, records
from survive_test import ENDLESS, MORE, SurvivingTest

TAG = f"lsh{os.getpid()}"  # an interface's name has at most 15 letters
AGENT = """#!/bin/bash
host=$1
shift
exec ip netns exec "$host" /bin/sh -c "$*"
"""


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


class HostsTest(SurvivingTest):
    def setUp(self):
        super().setUp()
        self.hosts = [f"{TAG}-1", f"{TAG}-2"]
        bridge = f"{TAG}-s"
        self.addCleanup(self.remove, [bridge, *self.hosts])
        ip("netns", "add", bridge)
        ip("-n", bridge, "link", "add", "br0", "type", "bridge")
        ip("-n", bridge, "link", "set", "br0", "up")
        for number, host in enumerate(self.hosts, 1):
            ip("netns", "add", host)
            ip("-n", host, "link", "set", "lo", "up")
            ip("-n", bridge, "link", "add", f"port{number}", "type", "veth", "peer", "name", "wire0", "netns", host)
            ip("-n", bridge, "link", "set", f"port{number}", "master", "br0", "up")
            ip("-n", host, "addr", "add", f"10.214.0.{number}/24", "dev", "wire0")
            ip("-n", host, "link", "set", "wire0", "up")
        self.hostfile = self.folder / "hosts"
        self.hostfile.write_text("".join(f"{host} slots=1\n" for host in self.hosts))
        self.agent = self.folder / "agent"
        self.agent.write_text(AGENT)
        self.agent.chmod(0o755)

    def remove(self, namespaces):
        for name in namespaces:
            pids = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True).stdout.split()
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            subprocess.run(["ip", "netns", "del", name], capture_output=True)

    def start_on_hosts(self, name, *options):
        """From inside the first host, as a user would."""
        # rtc/hwloc now and then crashes Open MPI's daemon where several "hosts" share one /tmp.
        variables = {"OMPI_MCA_plm_rsh_agent": self.agent, "OMPI_MCA_oob_tcp_if_include": "wire0", "OMPI_MCA_btl": "tcp,self",
                     "OMPI_MCA_btl_tcp_if_include": "wire0", "OMPI_MCA_routed": "direct", "OMPI_MCA_rtc": "^hwloc",
                     "LOCKSTEP_SOCKET_IFNAME": "wire0"}
        output = open(self.folder / f"{name}.output", "w+")
        process = subprocess.Popen(
            ["ip", "netns", "exec", self.hosts[0], "env", *(f"{key}={value}" for key, value in variables.items()),
             *map(str, command(self.folder / name, 1, "--hostfile", self.hostfile, *options))],
            stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        process.output = self.folder / f"{name}.output"
        output.close()
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def test_a_host_that_keeps_failing_is_left_out_and_no_bit_changes(self):
        process = self.start_on_hosts("run", *ENDLESS, "--min-nproc", "1", "--max-restarts", "5", "--restart-delay", "0.1")
        for attempt in (1, 2):
            self.wait_for_starts("run", attempt)
            os.kill(rank_pids(self.folder / "run")[1], signal.SIGKILL)
        self.wait_for_starts("run", 3)
        output, step = self.pause(process, "run")
        self.assertIn("host 2 of the hostfile keeps failing: goes on with 1 ranks, not 2; they share the same 2 logical ranks", output)
        starts = records(self.folder / "run", "start")
        self.assertEqual([r["world_size"] for r in starts], [2, 2, 1])
        self.assertEqual(starts[0]["backend"], "tcp")  # hosts share no memory
        options = [*ENDLESS, "--logical-world-size", "2", "--max-steps", step + MORE]
        self.train("run", 1, *options)
        self.train("whole", 2, *options)
        self.assert_same_weights("run", "whole")


if __name__ == "__main__":
    unittest.main(verbosity=2)

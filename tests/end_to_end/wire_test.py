"""scripts/bench_wire: the wire is as slow as it should be, and nothing of it is left; `lockstep doctor` between hosts. Needs root."""

import json
import os
import pathlib
import signal
import subprocess
import time
import unittest

from run import BIN, RunTest, run

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "bench_wire"


def bench_wire(*options):
    return [SCRIPT, "--build", BIN.parent, "--hosts", "2", "--rounds", "0", "--iters", "2", *map(str, options)]


def namespaces():
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True)
    return {line.split()[0] for line in listed.stdout.splitlines()}


class WireTest(RunTest):
    def test_a_stream_gets_the_rate_and_nothing_is_left(self):
        before = namespaces()
        size = 4_000_000
        result = run(bench_wire("--sizes", size, "--out", self.folder))
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        written = json.loads((self.folder / f"wire-all-reduce-2-hosts-{size}.json").read_text())
        self.assertEqual((written["world_size"], written["hosts"], written["backend"]), (2, 2, "tcp"))
        self.assertEqual([row["contender"] for row in written["rows"]], ["lockstep", "gloo", "mpi", "tcp"])
        # Two ranks send `size` bytes each at 1 Gb/s, but for the bursts that the shapers on both sides of a port let pass.
        for row in written["rows"]:
            self.assertGreater(row["time_us"]["min"] * 1e-6, (size - 2 * 256 * 1024 - 64 * 1024) * 8 / 1e9, row)
            self.assertEqual(row.get("wrong", 0), 0)
        self.assertEqual(namespaces() - before, set())

    def test_ranks_of_a_host_cross_the_wire_once(self):
        size = 1_000_000
        result = run(bench_wire("--sizes", size, "--ranks-per-host", 2, "--iters", 5, "--out", self.folder))
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.assertNotIn("do not share memory", result.stdout + result.stderr)
        written = json.loads((self.folder / f"wire-all-reduce-2-hosts-{size}.json").read_text())
        self.assertEqual((written["world_size"], written["hosts"], written["backend"]), (4, 2, "tcp"))
        self.assertTrue(all(row.get("wrong", 0) == 0 for row in written["rows"]), written["rows"])

    def test_a_stopped_one_leaves_nothing_either(self):
        before = namespaces()
        job = subprocess.Popen(bench_wire("--sizes", 10_000_000, "--iters", 1000), stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, start_new_session=True)
        self.addCleanup(job.kill)
        deadline = time.monotonic() + 30
        while len(namespaces() - before) < 3 and time.monotonic() < deadline:
            time.sleep(0.1)
        self.assertGreaterEqual(len(namespaces() - before), 3)
        time.sleep(2)
        os.killpg(job.pid, signal.SIGTERM)
        self.assertNotEqual(job.wait(timeout=30), 0)
        deadline = time.monotonic() + 10
        while namespaces() - before and time.monotonic() < deadline:
            time.sleep(0.1)
        self.assertEqual(namespaces() - before, set())

    def test_wrong_options_are_named(self):
        for options, text in [(["--hosts", "1"], "--hosts"), (["--host", "2"], "--host"), (["--rate"], "--rate")]:
            result = run([SCRIPT, *options])
            self.assertEqual(result.returncode, 2, result.stderr)
            self.assertIn(text, result.stderr)


class DoctorTest(RunTest):
    """lockstep doctor between two namespaces, of which one lets a port of the other's pass by."""

    def test_a_port_that_is_shut_between_hosts_is_named(self):
        hosts = [f"lsd{os.getpid()}{side}" for side in "ab"]

        def ip(*words):
            subprocess.run(["ip", *map(str, words)], check=True, capture_output=True)

        for host in hosts:
            self.addCleanup(subprocess.run, ["ip", "netns", "del", host], capture_output=True)
            ip("netns", "add", host)
        ip("link", "add", "wire", "netns", hosts[0], "type", "veth", "peer", "name", "wire", "netns", hosts[1])
        for number, host in enumerate(hosts):
            ip("-n", host, "addr", "add", f"10.98.7.{number + 1}/24", "dev", "wire")
            ip("-n", host, "link", "set", "wire", "up")
            ip("-n", host, "link", "set", "lo", "up")
        ip("-n", hosts[1], "link", "set", "wire", "mtu", 1400)
        ip("-n", hosts[0], "rule", "add", "to", "10.98.7.2", "dport", 29500, "blackhole", "prio", 10)
        agent = self.folder / "agent"
        agent.write_text('#!/bin/bash\nhost=$1\nshift\nexec ip netns exec "$host" /bin/sh -c "$*"\n')
        agent.chmod(0o755)
        networks = {f"OMPI_MCA_{part}_tcp_if_include": "10.98.7.0/24" for part in ("oob", "btl")}
        result = subprocess.run(["ip", "netns", "exec", hosts[0], BIN / "lockstep", "doctor", "--json", "--host", ",".join(hosts),
                                 "--timeout", "30"], capture_output=True, text=True, cwd=self.folder,
                                env={**os.environ, "OMPI_MCA_plm_rsh_agent": str(agent), **networks})
        self.assertEqual(result.returncode, 1, result.stdout + result.stderr)
        found = {section["host"]: section["findings"] for section in json.loads(result.stdout)["hosts"]}
        failures = [(host, finding) for host in hosts for finding in found[host] if finding["verdict"] == "failure"]
        self.assertEqual([(host, finding["topic"]) for host, finding in failures], [(hosts[0], "ports")])
        self.assertIn(f"reaches {hosts[1]} at 10.98.7.2, but not its ports 29500", failures[0][1]["what"])
        self.assertIn("1500 on the way to", "".join(finding["what"] for finding in found[hosts[0]]))
        for host in hosts:
            self.assertTrue(any(finding["topic"] == "clock" for finding in found[host]))


if __name__ == "__main__":
    unittest.main()

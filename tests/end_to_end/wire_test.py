"""scripts/bench_wire: the wire is as slow as it should be, and nothing of it is left. Needs root."""

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


if __name__ == "__main__":
    unittest.main()

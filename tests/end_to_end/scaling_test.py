"""`lockstep bench scaling`, as small as it gets: what it measures, keeps, refuses and reports. The wire needs root."""

import json
import os
import re
import subprocess
import time
import unittest

from run import BIN, RunTest, run

TINY = ["--model", "mlp", "--ranks", "1,2", "--rounds", "2", "--iters", "3", "--max-bytes", "1M"]


def scaling(folder, *options, **more):
    return run([BIN / "lockstep", "bench", "scaling", "--output", folder, *TINY, *options], **more)


def namespaces():
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True)
    return {line.split()[0] for line in listed.stdout.splitlines() if line.startswith("lsw")}


class ScalingTest(RunTest):
    def test_a_study_measures_keeps_goes_on_and_reports(self):
        dead = subprocess.Popen(["true"])
        dead.wait()
        leftover = f"lsw{dead.pid}-1"  # as a killed benchmark would have left it
        subprocess.run(["ip", "netns", "add", leftover], check=True)
        self.addCleanup(subprocess.run, ["ip", "netns", "del", leftover], capture_output=True)
        folder = self.folder / "study"
        options = ["--links", "shared-memory,1gbit", "--max-ranks", "64", "--price-per-gpu-hour", "3.6"]
        result = scaling(folder, *options)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.assertEqual(namespaces(), set())
        self.assertIn("removed 1 network namespace", result.stderr)
        data = json.loads(re.search(r'id="data">(.*?)</script>', (folder / "scaling.html").read_text(), re.DOTALL)[1])
        self.assertEqual(data["missing"], [])
        wire = next(link for link in data["links"] if link["link"] == "1gbit")
        memory = next(link for link in data["links"] if link["link"] == "shared-memory")
        # A megabyte each way at 1 Gb/s, but for what the shaper lets pass at once.
        self.assertGreater(wire["times"][-1]["time_s"]["min"], (2**20 - 4 * 96_000) * 8 / 1e9)
        self.assertLess(memory["times"][-1]["time_s"]["min"], wire["times"][-1]["time_s"]["min"])
        # The counters prove who carried it: as much as the rings send, and the protocol's headers; nothing of it in memory.
        measured = json.loads((folder / "measurements" / "all-reduce-1gbit-2.json").read_text())
        rings = sum(2 * row["size_bytes"] * row["operations"] for row in measured["rows"])
        self.assertGreater(measured["network"]["sent_bytes"]["wire0"], rings)
        self.assertLess(measured["network"]["sent_bytes"]["wire0"], 1.2 * rings + 1e6)
        self.assertLess(measured["network"]["sent_bytes"]["lo"], 0.1 * rings)
        for finding in data["findings"]:
            self.assertGreater(finding["replaying_s"], 0)
            self.assertGreater(finding["predicted_s"], 0)
            self.assertLess(abs(finding["error"]), 3, finding)  # a busy machine stretches one of the two
        self.assertEqual(data["epochs"][-1]["rows"][-1]["ranks"], 64)
        self.assertGreater(data["epochs"][-1]["rows"][-1]["cost"], 0)
        steps = {(step["link"], step["ranks"]): step for step in data["steps"]}
        replayed = next(one for one in steps[("1gbit", 2)]["contenders"] if one["contender"] == "replayed")
        self.assertEqual(sum(bucket[0] for bucket in replayed["timeline"]["buckets"]), 4 * 669_706)

        again = scaling(folder, *options)
        self.assertEqual(again.returncode, 0, again.stdout + again.stderr)
        self.assertNotRegex(again.stdout, r"\[ *\d+/")  # nothing was measured anew
        self.assertIn("6 of 6 measurements are there already", again.stderr)

        # Without what makes wires the rest is measured, here: is there already.
        tools = self.folder / "tools"
        tools.mkdir()
        (tools / "ip").write_text("#!/bin/sh\necho 'Operation not permitted' >&2\nexit 1\n")  # found before the real one
        (tools / "ip").chmod(0o755)
        poor = scaling(folder, "--links", "shared-memory,2gbit", env={**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"})
        self.assertEqual(poor.returncode, 0, poor.stdout + poor.stderr)
        self.assertIn("Operation not permitted", poor.stderr)
        self.assertIn("it takes root", poor.stderr)
        self.assertIn("all-reduce over 2gbit, 2 ranks: network namespaces", poor.stdout)
        self.assertIn("4 of 6 measurements are there already", poor.stderr)

        file = folder / "measurements" / "all-reduce-1gbit-2.json"
        measured["machine"]["cpu"] = "Another CPU"
        file.write_text(json.dumps(measured))
        refused = scaling(folder, *options)
        self.assertEqual(refused.returncode, 3, refused.stdout + refused.stderr)
        self.assertIn("Another CPU", refused.stderr)
        self.assertEqual(scaling(folder, *options, "--mix-machines").returncode, 0)

    def test_a_killed_benchmark_leaves_no_wire(self):
        job = subprocess.Popen([BIN / "lockstep", "bench", "all-reduce", "--wire", "1gbit", "--nnodes", "2", "-b", "1M", "-e", "1M",
                                "-n", "1000000"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.addCleanup(job.kill)
        line = job.stdout.readline()
        while line and not line.startswith("# lockstep bench"):  # then the ranks have met
            line = job.stdout.readline()
        self.assertEqual(len([name for name in namespaces() if name.startswith(f"lsw{job.pid}-")]), 3)
        job.kill()
        job.communicate(timeout=60)
        deadline = time.monotonic() + 15
        while namespaces() and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertEqual(namespaces(), set())

    def test_wrong_options_start_nothing(self):
        for options, text in [(["--links", "wifi"], "--links"), (["--gpu-type", "Z80"], "Z80"), (["--rank", "2"], "--ranks")]:
            result = scaling(self.folder / "none", *options) if "--rank" not in options else run(
                [BIN / "lockstep", "bench", "scaling", *options])
            self.assertEqual(result.returncode, 2, result.stderr)
            self.assertIn(text, result.stderr)
            self.assertEqual(result.stderr.count("\n"), 1)
        self.assertFalse((self.folder / "none").exists())
        result = run([BIN / "lockstep", "bench", "step", "--wire", "1gbit"])
        self.assertEqual(result.returncode, 2)
        self.assertIn("--nnodes", result.stderr)


if __name__ == "__main__":
    unittest.main()

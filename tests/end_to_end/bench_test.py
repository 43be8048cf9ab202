"""`lockstep bench` with real ranks and real peers, as small as it gets: what it shows, writes and returns."""

import csv
import json
import signal
import subprocess
import time
import unittest

from run import BIN, RunTest, processes_with, run

TINY_STEP = ["--model", "mlp", "--hidden", "16", "--batch-size", "4", "--rounds", "3", "--warmup-rounds", "1", "--steps", "2"]


def bench(*arguments, ranks=2, **more):
    return run([BIN / "lockstep", "bench", arguments[0], "--nproc-per-node", ranks, *arguments[1:]], **more)


class AllReduceTest(RunTest):
    def measure(self, *options, ranks=2):
        """Runs with --json and --csv; the JSON."""
        files = self.folder / "out.json", self.folder / "out.csv"
        result = bench("all-reduce", "-w", 1, "-n", 3, "--json", files[0], "--csv", files[1], *options, ranks=ranks)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        written = json.loads(files[0].read_text())
        rows = list(csv.DictReader(line for line in files[1].read_text().splitlines() if not line.startswith("#")))
        self.assertEqual(len(rows), len(written["rows"]))
        self.assertEqual(len([line for line in result.stdout.splitlines() if not line.startswith("#")]), len(rows))
        return written

    def test_every_peer_at_every_size_is_right(self):
        for ranks in (2, 3):
            with self.subTest(ranks=ranks):
                written = self.measure("-b", 4, "-e", "4M", "-f", 1024, "--compare", "gloo,mpi,tcp", ranks=ranks)
                seen = [(row["contender"], row["size_bytes"]) for row in written["rows"]]
                expected = [(name, size) for size in (4, 4096, 4194304) for name in ("lockstep", "gloo", "mpi", "tcp")]
                self.assertEqual(seen, expected)
                for row in written["rows"]:
                    self.assertEqual(row.get("wrong"), None if row["contender"] == "tcp" else 0, row)
                    times = row["time_us"]
                    self.assertTrue(0 < times["min"] <= times["median"] <= times["max"], row)
                    self.assertAlmostEqual(row["busbw_gb_per_s"] / row["algbw_gb_per_s"], 2 * (ranks - 1) / ranks, places=3)
                self.assertEqual(written["world_size"], ranks)
                self.assertIn("all-reduce", written["command"])
                self.assertTrue(written["machine"]["cpu"] and written["versions"]["LibTorch"] and written["versions"]["MPI"])

    def test_every_dtype_and_way(self):
        for dtype in ("float64", "float16", "bfloat16", "int32", "int64", "uint8"):
            self.measure("-b", "64K", "-e", "64K", "-d", dtype, "--compare", "gloo" if "16" not in dtype else "")
        for options in (["--buffers", "warm"], ["--in-place=false"], ["--memory", "private"],
                        ["--buffers", "warm", "--in-place=false"]):
            self.measure("-b", "64K", "-e", "64K", "--compare", "gloo,mpi", *options)

    def test_refusals_come_from_the_ranks_too(self):
        for code, text, options in [
            (2, "--compare mpi", ["--compare", "mpi", "-d", "float16"]),
            (2, "--interface", ["--compare", "gloo", "--interface", "no-such"]),
            (2, "--min-bytes", ["-b", 4, "-d", "float64"]),
            (3, "--json", ["--json", self.folder / "no" / "such" / "folder.json"]),
        ]:
            with self.subTest(options=options):
                result = bench("all-reduce", *options)
                self.assertEqual(result.returncode, code, result.stdout + result.stderr)
                self.assertIn(text, result.stderr)


class StepTest(RunTest):
    def test_every_contender_is_measured_in_the_same_run(self):
        file = self.folder / "step.json"
        result = bench("step", *TINY_STEP, "--compare", "c10d,pytorch", "--json", file)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        written = json.loads(file.read_text())
        contenders = {row["contender"]: row for row in written["workloads"][0]["contenders"]}
        for name in ("local", "averaged", "c10d", "pytorch local", "pytorch ddp"):
            times = contenders[name]["step_ms"]
            self.assertTrue(0 < times["min"] <= times["median"] <= times["max"], name)
            self.assertIn(name, result.stdout)
        self.assertIn("pytorch_ddp_over_this", contenders["averaged"])
        self.assertIn("over_own_local_step", contenders["pytorch ddp"])
        self.assertEqual(written["workloads"][0]["rounds"], 3)
        self.assertTrue(written["versions"]["PyTorch"].startswith("2."))
        self.assertEqual(processes_with("pytorch_step.py"), [])

    def test_without_peers_and_alone(self):
        result = bench("step", *TINY_STEP, ranks=1)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.assertIn("averaged", result.stdout)

    def test_an_interpreter_without_pytorch_is_named(self):
        result = bench("step", *TINY_STEP, "--compare", "pytorch", "--python", "/no/such/python")
        self.assertEqual(result.returncode, 11, result.stdout + result.stderr)
        self.assertIn("--python", result.stderr)

    def test_ctrl_c_shows_what_was_measured_and_leaves_nobody(self):
        command = [BIN / "lockstep", "bench", "step", "--nproc-per-node", "2", *TINY_STEP, "--compare", "pytorch"]
        command[command.index("--rounds") + 1] = "1000000"
        job = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(job.kill)
        shown = ""
        while "mlp: " not in shown and job.poll() is None:  # then the ranks have met, and PyTorch's have come
            shown += job.stdout.readline()
        time.sleep(5)
        job.send_signal(signal.SIGINT)
        output, error = job.communicate(timeout=60)
        self.assertEqual(job.returncode, 10, output + error)
        self.assertRegex(output, r"\d rounds of 2 steps")
        self.assertIn("stopped on request", error)
        self.assertEqual(processes_with("pytorch_step.py"), [])


if __name__ == "__main__":
    unittest.main()

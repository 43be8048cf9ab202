"""`lockstep bench` with real ranks and real peers, as small as it gets: what it shows, writes and returns."""

import csv
import json
import os
import pathlib
import signal
import subprocess
import time
import unittest

from run import BIN, VENV, RunTest, processes_with, run

TINY_STEP = ["--model", "mlp", "--hidden", "16", "--batch-size", "4", "--rounds", "3", "--warmup-rounds", "1", "--steps", "2"]


def bench(*arguments, ranks=2, **more):
    return run([BIN / "lockstep", "bench", arguments[0], "--nproc-per-node", ranks, *arguments[1:]], **more)


class CollectiveTest(RunTest):
    def measure(self, *options, ranks=2, collective="all-reduce"):
        """Runs with --json and --csv; the JSON."""
        files = self.folder / "out.json", self.folder / "out.csv"
        result = bench(collective, "-w", 1, "-n", 3, "--json", files[0], "--csv", files[1], *options, ranks=ranks)
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

    def test_the_other_collectives_and_every_peer_of_theirs(self):
        for collective, factor, redop, in_place in [("reduce-scatter", 2 / 3, "sum", False), ("all-gather", 2 / 3, "none", True),
                                                    ("all-gather", 2 / 3, "none", False), ("broadcast", 1, "none", True),
                                                    ("send-receive", 1, "none", False)]:
            with self.subTest(collective=collective, in_place=in_place):
                ways = ["--in-place"] if in_place and collective != "broadcast" else ["-r", 1] if collective == "broadcast" else []
                written = self.measure("-b", 12, "-e", "3M", "-f", 1 << 18, "--compare", "gloo,mpi,tcp", *ways, ranks=3,
                                       collective=collective)
                self.assertEqual(written["benchmark"], collective)
                self.assertEqual([row["contender"] for row in written["rows"]], ["lockstep", "gloo", "mpi", "tcp"] * 2)
                for row in written["rows"]:
                    self.assertEqual(row.get("wrong"), None if row["contender"] == "tcp" else 0, row)
                    self.assertEqual((row["redop"], row["in_place"], row.get("root")),
                                     (redop, in_place, 1 if collective == "broadcast" else None))
                    self.assertEqual(row["count"] * 4 * (1 if factor == 1 else 3), row["size_bytes"])
                    self.assertAlmostEqual(row["busbw_gb_per_s"] / row["algbw_gb_per_s"], factor, places=6)
                self.assertLess(written["harness_us"], 100)

    def test_every_dtype_and_way(self):
        for dtype in ("float64", "float16", "bfloat16", "int32", "int64", "uint8"):
            self.measure("-b", "64K", "-e", "64K", "-d", dtype, "--compare", "gloo" if "16" not in dtype else "")
        for options in (["--buffers", "warm"], ["--in-place=false"], ["--memory", "private"],
                        ["--buffers", "warm", "--in-place=false"]):
            self.measure("-b", "64K", "-e", "64K", "--compare", "gloo,mpi", *options)

    def test_the_harness_is_held_against_a_bare_loop(self):
        script = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "bench_harness"
        result = run([VENV / "bin" / "python", script, "--sizes", "64K", "--starts", 1, "--iters", 3, "--tolerance", 0,
                      "--build", BIN.parent])
        self.assertEqual(result.returncode, 1, result.stdout + result.stderr)  # nothing is equal to the nanosecond
        for peer in ("gloo", "mpi"):
            row = next(line.split() for line in result.stdout.splitlines() if line.split()[:2] == ["64K", peer])
            ours, bare, ratio = map(float, row[2:5])
            self.assertGreater(min(ours, bare), 0)
            self.assertTrue(0.05 < ratio < 20, row)

    def test_refusals_come_from_the_ranks_too(self):
        for code, text, options in [
            (2, "--compare mpi", ["--compare", "mpi", "-d", "float16"]),
            (2, "--interface", ["--compare", "gloo", "--interface", "no-such"]),
            (2, "--min-bytes", ["-b", 4, "-d", "float64"]),
            (2, "--root", ["-r", 2]),
            (3, "--json", ["--json", self.folder / "no" / "such" / "folder.json"]),
        ]:
            with self.subTest(options=options):
                result = bench("broadcast" if "-r" in options else "all-reduce", *options)
                self.assertEqual(result.returncode, code, result.stdout + result.stderr)
                self.assertIn(text, result.stderr)

    def test_a_gpu_that_is_not_there_is_refused(self):
        if not os.path.exists("/dev/nvidia0"):
            result = bench("all-reduce", "--device", "cuda", ranks=1)
            self.assertEqual(result.returncode, 2, result.stderr)
            self.assertIn("--device cuda: this machine has no GPU", result.stderr)


class StepTest(RunTest):
    def test_every_contender_is_measured_in_the_same_run(self):
        file = self.folder / "step.json"
        result = bench("step", *TINY_STEP, "--compare", "c10d,pytorch", "--json", file)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        written = json.loads(file.read_text())
        contenders = {row["contender"]: row for row in written["workloads"][0]["contenders"]}
        for name in ("alone", "local", "averaged", "sharded", "c10d", "pytorch local", "pytorch ddp"):
            times = contenders[name]["step_ms"]
            self.assertTrue(0 < times["min"] <= times["median"] <= times["max"], name)
            self.assertIn(name, result.stdout)
        for name in ("averaged", "sharded"):
            self.assertIn("pytorch_ddp_over_this", contenders[name])
        self.assertIn("over_own_local_step", contenders["pytorch ddp"])
        averaged = contenders["averaged"]
        self.assertAlmostEqual(averaged["samples_per_s"], 2 * 4 / averaged["step_ms"]["median"] * 1e3, delta=1e-3 * averaged["samples_per_s"])
        self.assertEqual(written["workloads"][0]["flop_per_step_and_rank"], 6 * 4 * (784 * 16 + 16 * 10))
        self.assertGreater(averaged["scaling_efficiency"]["median"], 0)
        self.assertNotIn("scaling_efficiency", contenders["alone"])
        self.assertEqual(written["workloads"][0]["rounds"], 3)
        self.assertTrue(written["versions"]["PyTorch"].startswith("2."))
        self.assertEqual(processes_with("pytorch_step.py"), [])

    def test_without_peers_and_alone(self):
        result = bench("step", *TINY_STEP, ranks=1)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.assertIn("averaged", result.stdout)

    def test_models_of_tokens_beside_hugging_faces(self):
        for model, peers in (("gpt2-mini", []), ("bert-mini", ["pytorch local", "pytorch ddp"])):
            with self.subTest(model=model):
                file = self.folder / f"{model}.json"
                result = bench("step", "--model", model, "--sequence-length", 16, "--vocab-size", 100, "--batch-size", 2, "--rounds", 1,
                               "--warmup-rounds", 0, "--contenders", "averaged", "--compare", "pytorch" if peers else "", "--peak-tflops", 0.5, "--json", file)
                self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
                workload = json.loads(file.read_text())["workloads"][0]
                self.assertIn(f"{model} 16 of 100 tokens, batch 2", workload["workload"])
                self.assertEqual([row["contender"] for row in workload["contenders"]], ["averaged", *peers])
                row = workload["contenders"][0]
                self.assertAlmostEqual(row["tokens_per_s"] / row["samples_per_s"], 16)
                self.assertAlmostEqual(row["peak_share"], row["flop_per_s_of_a_rank"] / 0.5e12)

    def test_an_interpreter_without_pytorch_is_named(self):
        result = bench("step", *TINY_STEP, "--compare", "pytorch", "--python", "/no/such/python")
        self.assertEqual(result.returncode, 11, result.stdout + result.stderr)
        self.assertIn("--python", result.stderr)

    def test_ctrl_c_shows_what_was_measured_and_leaves_nobody(self):
        command = [BIN / "lockstep", "bench", "step", "--nproc-per-node", "2", *TINY_STEP, "--compare", "pytorch"]
        command[command.index("--rounds") + 1] = "1000000"
        command[command.index("--warmup-rounds") + 1] = "0"  # so that the round under way is one that counts
        job = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(job.kill)
        shown = ""
        while "mlp: " not in shown and job.poll() is None:  # then the ranks have met, and PyTorch's have come
            shown += job.stdout.readline()
        time.sleep(1)
        job.send_signal(signal.SIGINT)
        output, error = job.communicate(timeout=60)
        self.assertEqual(job.returncode, 10, output + error)
        self.assertRegex(output, r"\d rounds of 2 steps")
        self.assertIn("stopped on request", error)
        self.assertEqual(processes_with("pytorch_step.py"), [])


if __name__ == "__main__":
    unittest.main()

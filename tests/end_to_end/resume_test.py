"""Interrupted and continued, repeated, and on several numbers of ranks: the same bits."""

import json
import os
import pathlib
import re
import signal
import subprocess
import time
import unittest

from run import BIN, RunTest, command, model_digest, newest_checkpoint, own_port, processes_with, records, run

SMALL = ["--model", "convnet", "--data", "synthetic", "--synthetic-samples", "1030", "--batch-size", "16",
         "--optimizer", "adamw", "--lr", "0.001", "--max-epochs", "2", "--log-every-n-steps", "5"]
# 1030 samples on 3 ranks: 344 each, 22 batches of 16, the last one of 8.


def start(run_dir, ranks, *options):
    return subprocess.Popen(list(map(str, command(run_dir, ranks, *options))), stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, stdin=subprocess.DEVNULL)


def rank_pids(run_dir):
    """pid by rank of the living rank processes of this run."""
    pids = {}
    for pid, line in processes_with(str(run_dir)):
        if "lockstep-train" not in line.split(" ")[0]:
            continue
        try:
            environment = pathlib.Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        for entry in environment:
            if entry.startswith(b"OMPI_COMM_WORLD_RANK="):
                pids[int(entry.split(b"=")[1])] = pid
    return pids


def wait_for(condition, seconds=180):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise TimeoutError("the condition did not come true")


class ResumeTest(RunTest):
    def test_ranks_agree_and_a_repeated_run_has_the_same_bits(self):
        for ranks in (2, 3, 4):
            with self.subTest(ranks=ranks):
                self.train(f"first-{ranks}", ranks, *SMALL)
                self.train(f"second-{ranks}", ranks, *SMALL)
                self.assertEqual(model_digest(self.folder / f"first-{ranks}"), model_digest(self.folder / f"second-{ranks}"))

    def test_stopped_in_mid_epoch_and_continued(self):
        self.train("whole", 3, *SMALL)
        # Stops after the first step (before buckets are rebuilt), after 7 of 22 steps of epoch 1, then in epoch 2, then goes to the end.
        self.train("parts", 3, *SMALL, "--max-steps", "1")
        self.train("parts", 3, *SMALL, "--max-steps", "7", "--resume")
        self.train("parts", 3, *SMALL, "--max-steps", "30", "--resume")
        self.train("parts", 3, *SMALL)
        self.assertEqual(model_digest(self.folder / "parts"), model_digest(self.folder / "whole"))
        whole = {r["step"]: r["loss"] for r in records(self.folder / "whole", "train")}
        parts = {r["step"]: r["loss"] for r in records(self.folder / "parts", "train")}
        self.assertEqual({step: parts[step] for step in whole}, whole)
        self.assertEqual([r["step"] for r in records(self.folder / "parts", "start")], [0, 1, 7, 30])
        resumed = [r for r in records(self.folder / "parts", "event") if r["event"] == "resume"]
        self.assertEqual([r["step"] for r in resumed], [1, 7, 30])
        self.assertTrue(all(0 < r["read_time_s"] < 10 for r in resumed), resumed)

    def test_batch_norm_statistics_continue_too(self):
        options = ["--model", "resnet18", "--data", "synthetic", "--synthetic-samples", "50", "--batch-size", "4", "--max-epochs", "2"]
        self.train("whole", 3, *options)  # 17 samples each, 5 batches
        self.train("parts", 3, *options, "--max-steps", "3")
        self.train("parts", 3, *options)
        self.assertEqual(model_digest(self.folder / "parts"), model_digest(self.folder / "whole"))

    def test_accumulated_batches_and_clipping_continue_too(self):
        options = [*SMALL, "--accumulate-grad-batches", "3", "--gradient-clip-val", "0.5"]
        self.train("whole", 2, *options)
        self.train("parts", 2, *options, "--max-steps", "5")
        self.train("parts", 2, *options)
        self.assertEqual(model_digest(self.folder / "parts"), model_digest(self.folder / "whole"))
        self.assertTrue(all(r["grad_norm"] > 0 for r in records(self.folder / "whole", "train")))

    def test_learning_rate_schedules_continue_too(self):
        for name, schedule in (("one-cycle", ["--lr-schedule", "one-cycle", "--lr-schedule-length", "130"]),
                               ("by epoch", ["--lr-schedule", "exponential", "--lr-gamma", "0.5", "--lr-interval", "epoch",
                                             "--warmup-steps", "1"])):
            with self.subTest(name):
                self.train(f"{name} whole", 2, *SMALL, *schedule)
                for stop in (["--max-steps", "7"], ["--max-steps", "40"], []):
                    self.train(f"{name} parts", 2, *SMALL, *schedule, *stop)
                self.assertEqual(model_digest(self.folder / f"{name} parts"), model_digest(self.folder / f"{name} whole"))
                whole = {r["step"]: r["lr"] for r in records(self.folder / f"{name} whole", "train")}
                parts = {r["step"]: r["lr"] for r in records(self.folder / f"{name} parts", "train")}
                self.assertEqual({step: parts[step] for step in whole}, whole)
                self.assertGreater(len(set(whole.values())), 1)
        result = self.train("by epoch parts", 2, *SMALL, "--lr-schedule", "exponential", "--lr-gamma", "0.25", expect=3)
        self.assertIn("learning-rate schedule was exponential from 0.001, warm-up 1, gamma 0.5, by epoch, is exponential "
                      "from 0.001, gamma 0.25, by step", result.stderr)

    def test_a_complete_run_is_left_alone(self):
        self.train("run", 2, *SMALL)
        before = newest_checkpoint(self.folder / "run"), model_digest(self.folder / "run")
        result = self.train("run", 2, *SMALL)
        self.assertIn("nothing is left to do", result.stdout)
        self.assertEqual((newest_checkpoint(self.folder / "run"), model_digest(self.folder / "run")), before)

    def test_fresh_keeps_the_old_run_aside(self):
        self.train("run", 2, *SMALL, "--max-steps", "3")
        digest = model_digest(self.folder / "run")
        result = self.train("run", 2, *SMALL, "--max-steps", "2", "--fresh")
        self.assertIn("previous", result.stdout)
        self.assertEqual([r["step"] for r in records(self.folder / "run", "start")], [0])
        kept = list((self.folder / "run" / "previous").iterdir())
        self.assertEqual(len(kept), 1)
        self.assertEqual(model_digest(kept[0]), digest)

    def test_a_damaged_checkpoint_is_passed_over(self):
        options = [*SMALL, "--max-steps", "20", "--checkpoint-interval", "5"]
        self.train("run", 2, *options)
        self.train("whole", 2, *SMALL)
        model = newest_checkpoint(self.folder / "run") / "model.safetensors"
        content = bytearray(model.read_bytes())
        content[-1] ^= 1
        model.write_bytes(content)
        result = self.train("run", 2, *SMALL)
        self.assertIn("warning", result.stderr)
        self.assertIn("step_00000020", result.stderr)
        self.assertIn("continues after step 15", result.stdout)
        self.assertEqual(model_digest(self.folder / "run"), model_digest(self.folder / "whole"))


class SignalTest(RunTest):
    LONG = [*SMALL[:-4], "--max-epochs", "400", "--checkpoint-interval", "10", "--log-every-n-steps", "10", "--timeout", "30"]

    def wait_for_checkpoint(self, name):
        wait_for(lambda: list((self.folder / name / "checkpoints").glob("step_*/meta.json")))

    def assert_loads_and_nothing_runs(self, name):
        wait_for(lambda: not processes_with(str(self.folder / name)), seconds=30)
        step = records(self.folder / name, "train")[-1]["step"] // 10 * 10 + 10
        self.train(name, 2, *self.LONG, "--max-steps", step, "--resume")

    def test_sigterm_pauses_and_the_same_command_goes_on(self):
        process = start(self.folder / "run", 2, *self.LONG)
        self.wait_for_checkpoint("run")
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 10, output)
        self.assertIn("run the same command again", output)
        paused_at = records(self.folder / "run", "end")[-1]["step"]
        self.assertEqual(newest_checkpoint(self.folder / "run").name, f"step_{paused_at:08d}")
        self.train("run", 2, *self.LONG, "--max-steps", paused_at + 5)
        self.train("whole", 2, *self.LONG, "--max-steps", paused_at + 5)
        self.assertEqual(model_digest(self.folder / "run"), model_digest(self.folder / "whole"))

    def test_a_killed_rank_ends_the_job_and_is_named(self):
        for rank in (0, 1):
            with self.subTest(rank=rank):
                name = f"rank{rank}"
                process = start(self.folder / name, 2, *self.LONG)
                self.wait_for_checkpoint(name)
                os.kill(rank_pids(self.folder / name)[rank], signal.SIGKILL)
                output, _ = process.communicate(timeout=30)
                self.assertEqual(process.returncode, 11, output)
                self.assertRegex(output, rf"rank {rank}\b.*(signal 9|killed)")
                self.assert_loads_and_nothing_runs(name)

    def test_a_stopped_rank_is_a_timeout(self):
        options = [*self.LONG[:-2], "--timeout", "6"]
        process = start(self.folder / "run", 2, *options)
        self.wait_for_checkpoint("run")
        stopped = rank_pids(self.folder / "run")[1]
        os.kill(stopped, signal.SIGSTOP)
        output, _ = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 11, output)
        self.assertRegex(output, r"rank 0: \w+ #\d+ \(.*\) timed out after 6 s, waiting for rank 1")
        self.assert_loads_and_nothing_runs("run")

    def test_a_killed_launcher_leaves_nothing_behind(self):
        process = start(self.folder / "run", 2, *self.LONG)
        self.wait_for_checkpoint("run")
        process.kill()
        process.communicate(timeout=30)
        self.assert_loads_and_nothing_runs("run")


class LauncherTest(RunTest):
    def test_torchrun_and_mpirun_give_the_same_bits(self):
        options = ["--device", "cpu", "--num-threads", "1", *SMALL, "--max-steps", "6"]
        self.train("lockstep", 2, *SMALL, "--max-steps", "6")
        mpirun = ["mpirun", "-n", "2"]
        torchrun = [os.environ["LOCKSTEP_VENV"] + "/bin/torchrun", "--nproc-per-node", "2", "--master-port", own_port(),
                    "--no-python"]
        digests = {model_digest(self.folder / "lockstep")}
        for launcher, name, backend in ((mpirun, "mpi", ["--backend", "mpi"]), (torchrun, "gloo", ["--backend", "gloo"]), (torchrun, "shm", [])):
            ended = run([*launcher, BIN / "lockstep-train", "--run-dir", self.folder / name, *options, *backend])
            self.assertEqual(ended.returncode, 0, ended.stderr)
            self.assertIn(f"backend {name} ", ended.stdout)
            digests.add(model_digest(self.folder / name))
        self.assertEqual(len(digests), 1)

    def test_slurms_variables_are_understood(self):
        ranks = []
        for rank in range(2):
            environment = dict(os.environ, SLURM_PROCID=str(rank), SLURM_NTASKS="2", SLURM_LOCALID=str(rank), SLURM_STEP_ID="0", SLURM_NODEID="0",
                               SLURM_JOB_ID="1", SLURM_NTASKS_PER_NODE="2", SLURM_STEP_NUM_TASKS="2", SLURM_STEP_TASKS_PER_NODE="2")
            for name in list(environment):
                if name.startswith(("OMPI_COMM", "PMIX", "PMI_")):
                    del environment[name]
            ranks.append(subprocess.Popen(
                [str(BIN / "lockstep-train"), "--run-dir", str(self.folder / "run"), "--device", "cpu", "--num-threads", "1", *SMALL,
                 "--max-steps", "3", "--master-addr", "127.0.0.1", "--master-port", str(own_port())],
                env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
        outputs = [process.communicate(timeout=120)[0] for process in ranks]
        self.assertEqual([process.returncode for process in ranks], [0, 0], outputs)
        self.assertIn("2 ranks", outputs[0])

    def test_first_step_is_there_soon(self):
        self.train("run", 2, "--model", "mlp", "--data", "fashion-mnist", "--max-steps", "2", "--max-epochs", "1")
        event = [r for r in records(self.folder / "run", "event") if r["event"] == "first_step"]
        self.assertEqual(len(event), 1)
        self.assertGreater(event[0]["since_launch_s"], 0.0)


class PrecisionTest(RunTest):
    def test_bf16_mixed_learns_with_other_bits(self):
        options = [*SMALL[:-1], "1", "--max-steps", "30"]
        self.train("full", 2, *options)
        self.train("mixed", 2, *options, "--precision", "bf16-mixed")
        full, mixed = ([r["loss"] for r in records(self.folder / name, "train")] for name in ("full", "mixed"))
        self.assertNotEqual(full, mixed)
        self.assertLess(mixed[-1], 0.8 * mixed[0])
        self.assertLess(abs(full[0] - mixed[0]), 0.05)  # bfloat16 has 8 bits of mantissa

    def test_float16_overflows_are_skipped_and_the_scale_goes_on_with_the_run(self):
        options = [*SMALL[:-1], "1", "--precision", "16-mixed", "--grad-scaler-init-scale", "1e9", "--grad-scaler-growth-interval", "9"]
        self.train("whole", 2, *options, "--max-steps", "30")
        # Interrupted while the scale still falls, and between two times that it grows.
        for steps in ("4", "24", "30"):
            self.train("parts", 2, *options, "--max-steps", steps)
        self.assertEqual(model_digest(self.folder / "parts"), model_digest(self.folder / "whole"))
        scales = [r["loss_scale"] for r in records(self.folder / "whole", "train")]
        self.assertEqual(scales[0], 1e9)
        self.assertLess(min(scales), 1e9)
        self.assertGreater(max(scales[scales.index(min(scales)):]), min(scales))
        self.assertEqual([r["loss_scale"] for r in records(self.folder / "parts", "train")], scales)
        skipped = [r["step"] for r in records(self.folder / "whole", "event") if r["event"] == "overflow"]
        self.assertEqual(skipped[:4], [0, 1, 2, 3])  # updates done before

    def test_float16_that_overflows_at_every_scale_stops_with_step_and_parameter(self):
        result = run(command(self.folder / "run", 2, "--model", "mlp", "--data", "synthetic", "--batch-size", "16", "--precision", "16-mixed",
                             "--grad-scaler-init-scale", "64", "--lr", "1e6", "--log-every-n-steps", "1"))
        self.assertEqual(result.returncode, 3, result.stderr)
        self.assertRegex(result.stderr, r"gradient of parameter \S+ is not finite at step \d+ even with a loss scale of 1.0;")
        events = [r["event"] for r in records(self.folder / "run", "event")]
        self.assertGreaterEqual(events.count("overflow"), 6)


if __name__ == "__main__":
    unittest.main(verbosity=2)

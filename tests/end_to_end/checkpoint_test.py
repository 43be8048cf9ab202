"""Saves in the background, saves that fail, checkpoints that are gone, the best one, and stopping early."""

import ctypes
import os
import subprocess
import unittest

from resume_test import wait_for
from run import RunTest, command, model_digest, newest_checkpoint, records, run

SMALL = ["--model", "mlp", "--data", "synthetic", "--synthetic-samples", "512", "--batch-size", "16", "--optimizer", "adamw",
         "--log-every-n-steps", "10"]  # 16 steps an epoch on 2 ranks
ENDLESS = [*SMALL, "--max-epochs", "100000", "--checkpoint-interval", "20", "--timeout", "30"]


def checkpoint_events(run_dir):
    return [r for r in records(run_dir, "event") if r["event"] == "checkpoint"]


def exchange(one, other):
    """Swaps two paths in one step, between which no save can make one of them anew."""
    at_fdcwd, rename_exchange = -100, 2
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(at_fdcwd, os.fsencode(one), at_fdcwd, os.fsencode(other), rename_exchange) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(one), None, str(other))


class SavingTest(RunTest):
    def start(self, name, *options):
        process = subprocess.Popen(list(map(str, command(self.folder / name, 2, *options))), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   text=True, stdin=subprocess.DEVNULL)
        self.addCleanup(lambda: process.poll() is None and process.kill())
        wait_for(lambda: (self.folder / name / "checkpoints" / "latest").exists())
        return process

    def break_folder(self, name):
        """From now on nothing can be written to checkpoints/."""
        (self.folder / "kept").write_text("in the way")
        exchange(self.folder / "kept", self.folder / name / "checkpoints")

    def mend_folder(self, name):
        exchange(self.folder / "kept", self.folder / name / "checkpoints")

    def test_events_tell_of_complete_checkpoints(self):
        self.train("run", 2, *SMALL, "--checkpoint-interval", "6", "--keep-checkpoints", "100")
        events = checkpoint_events(self.folder / "run")
        self.assertEqual([event["step"] for event in events], [6, 12, 16])
        for event in events:
            self.assertGreater(event["save_time_s"], 0.0)
            self.assertGreater(event["write_time_s"], 0.0)
            self.assertTrue((self.folder / "run" / "checkpoints" / f"step_{event['step']:08d}" / "meta.json").exists())

    def test_saves_by_the_minute_change_no_bits(self):
        options = [*SMALL, "--max-epochs", "100000"]
        process = self.start("parts", *options, "--checkpoint-interval", "0.0002min")
        wait_for(lambda: any(event["step"] % 16 for event in checkpoint_events(self.folder / "parts")))  # in mid-epoch
        process.kill()
        process.communicate(timeout=30)
        last = int(newest_checkpoint(self.folder / "parts").name[5:])
        options += ["--max-steps", last + 100]
        result = self.train("parts", 2, *options, "--checkpoint-interval", "auto", "--mean-time-between-failures", "1")
        self.assertIn("continues after step", result.stdout)
        self.assertRegex(result.stdout, r"--checkpoint-interval auto: every [\d.]+ s, as a save costs .* every 3600 s")
        self.train("whole", 2, *options)
        self.assertEqual(model_digest(self.folder / "parts"), model_digest(self.folder / "whole"))

    def test_a_save_that_fails_for_a_while_is_tried_again(self):
        process = self.start("run", *ENDLESS)
        self.break_folder("run")
        wait_for(lambda: "cannot be written" in process.stdout.readline())
        self.mend_folder("run")
        before = newest_checkpoint(self.folder / "run").name
        wait_for(lambda: newest_checkpoint(self.folder / "run").name != before)
        process.terminate()
        output, _ = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 10, output)
        self.assertEqual(newest_checkpoint(self.folder / "run").name, f"step_{records(self.folder / 'run', 'end')[-1]['step']:08d}")

    def test_a_save_that_keeps_failing_ends_the_run_with_the_last_checkpoint_intact(self):
        process = self.start("run", *ENDLESS, "--checkpoint-retries", "1")
        self.break_folder("run")
        output, _ = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 11, output)
        self.assertRegex(output, r"the checkpoint of step \d+ could not be written in any try: cannot make the folder .*checkpoints.*; "
                                 r"mend that, then run the same command again: it goes on from step \d+")
        self.assertEqual(records(self.folder / "run", "end")[-1]["reason"], "failed")
        self.mend_folder("run")
        step = int(newest_checkpoint(self.folder / "run").name[5:])
        result = self.train("run", 2, *ENDLESS, "--max-steps", step + 3)
        self.assertIn(f"continues after step {step}", result.stdout)

    def test_ranks_wait_for_a_save_longer_than_their_timeout(self):
        (self.folder / "run").mkdir()
        (self.folder / "run" / "checkpoints").symlink_to("nowhere")  # fails every save
        result = self.train("run", 2, *SMALL, "--max-steps", "4", "--timeout", "3", "--checkpoint-retries", "3", expect=11)
        self.assertIn("the checkpoint of step 4 could not be written in any try", result.stderr)
        self.assertIn("try 4 of 4 follows in 4 s", result.stderr)

    def test_nothing_starts_from_scratch_where_a_checkpoint_was(self):
        self.train("run", 2, *SMALL, "--max-steps", "4")
        (self.folder / "run" / "checkpoints").rename(self.folder / "elsewhere")
        result = run(command(self.folder / "run", 2, *SMALL, "--max-steps", "6"))
        self.assertEqual(result.returncode, 3, result.stderr)
        self.assertRegex(result.stderr, r"the checkpoints of this run, of step 4 for one, are gone from .*checkpoints; .*--fresh")
        self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)
        self.train("run", 2, *SMALL, "--max-steps", "6", "--fresh")


class MonitorTest(RunTest):
    def test_stops_when_nothing_improves_and_counts_across_a_resume(self):
        # No change is large enough to be an improvement: the second, third and fourth evaluation bring none.
        options = [*SMALL, "--max-epochs", "20", "--early-stopping-min-delta", "100", "--early-stopping-patience"]
        self.train("run", 2, *options, "3", "--max-steps", "40")  # within epoch 3
        result = self.train("run", 2, *options, "3")
        self.assertIn("test_loss has not improved in 3 evaluations", result.stdout)
        end = records(self.folder / "run", "end")[-1]
        self.assertEqual((end["reason"], end["exit_code"], end["epochs"], end["step"]), ("early_stopped", 0, 4, 64))
        self.assertEqual(newest_checkpoint(self.folder / "run").name, "step_00000064")
        result = self.train("run", 2, *options, "3")
        self.assertIn("nothing is left to do", result.stdout)
        self.train("run", 2, *options, "4")
        self.assertEqual(records(self.folder / "run", "end")[-1]["epochs"], 5)

    def test_the_best_checkpoint_is_kept_beside_the_last(self):
        # With so high a learning rate some later epoch is worse than an earlier one.
        self.train("run", 2, *SMALL, "--lr", "0.1", "--max-epochs", "8", "--keep-checkpoints", "1", "--keep-best",
                   "--early-stopping-monitor", "test_accuracy")
        evaluations = records(self.folder / "run", "eval")
        best = max(evaluations, key=lambda record: (record["accuracy"], -record["step"]))
        checkpoints = self.folder / "run" / "checkpoints"
        self.assertEqual((checkpoints / "best").readlink().name, f"step_{best['step']:08d}")
        self.assertEqual({path.name for path in checkpoints.iterdir()}, {"latest", "best", "step_00000128", f"step_{best['step']:08d}"})


if __name__ == "__main__":
    unittest.main(verbosity=2)

"""The bill of real runs: it begins and ends with the launcher, adds up, and never exceeds the budget's mark."""

import datetime
import json
import signal
import subprocess
import time
import unittest

from run import BIN, RunTest, command, first_good, model_digest, newest_checkpoint, records, run

ENDLESS = ["--model", "mlp", "--data", "synthetic", "--synthetic-samples", "512", "--batch-size", "64",
           "--max-epochs", "1000000", "--log-every-n-steps", "50"]
A_DOLLAR_A_SECOND = ["--price-per-gpu-hour", "1800"]  # for two ranks


def ledger(run_dir):
    """The last record of each attempt."""
    last = {}
    for line in (run_dir / "ledger.jsonl").read_text().splitlines():
        record = json.loads(line)
        last[record["attempt"]] = record
    return [last[attempt] for attempt in sorted(last)]


class CostTest(RunTest):
    def cost(self, *arguments):
        result = run([BIN / "lockstep", "cost", *arguments, "--json"])
        self.assertEqual(result.returncode, 0, result.stderr)
        return {section["section"]: section for section in json.loads(result.stdout)}

    def test_the_bill_is_the_launchers_wall_time(self):
        def measure(number):
            run_dir = self.folder / f"run-{number}"
            wall_s = 0.0
            for epochs in (3, 6):  # continued
                begin = time.monotonic()
                self.train(run_dir, 2, *ENDLESS[:-4], "--max-epochs", epochs, *A_DOLLAR_A_SECOND)
                wall_s += time.monotonic() - begin
            running_s = sum(record["running_s"] for record in ledger(run_dir))
            self.assertLess(running_s, wall_s + 0.01)
            return run_dir, running_s, wall_s

        # Starting a process and hearing of its end is ours, not the launcher's.
        least = lambda wall_s: 0.995 * wall_s - 0.1
        run_dir, running_s, wall_s = first_good(measure, lambda _, running_s, wall_s: running_s > least(wall_s))
        self.assertGreater(running_s, least(wall_s))
        for record in ledger(run_dir):
            self.assertAlmostEqual(sum(record["parts_s"].values()), record["running_s"], places=6)
            self.assertTrue(record["closed"])
        cost = self.cost(run_dir)
        self.assertAlmostEqual(cost["run"]["total_USD"]["amount"], running_s, delta=1e-6)
        self.assertEqual(cost["run"]["billed_intervals"], 2)
        parts = cost["parts"]
        self.assertAlmostEqual(sum(part["amount"] for part in parts.values() if isinstance(part, dict)), running_s, delta=1e-6)
        for part in ("start_up", "compute", "evaluation", "checkpoint"):
            self.assertGreater(parts[part]["amount"], 0)
        self.assertEqual(parts["rework"]["amount"], 0)
        end = records(run_dir, "end")[-1]
        self.assertLess(end["spend"], running_s)  # the ranks' leaving comes after it

    def test_a_budget_stops_the_run_at_its_mark(self):
        options = [*ENDLESS, *A_DOLLAR_A_SECOND, "--budget-stop", 0.5]

        def measure(number):
            run_dir = self.folder / f"run-{number}"
            self.train(run_dir, 2, *ENDLESS[:-4], "--max-epochs", 1, *A_DOLLAR_A_SECOND)
            first = ledger(run_dir)[0]["running_s"]  # mostly the start, which takes longer on a busy machine
            mark = round(2.5 * first + 5, 2)
            result = self.train(run_dir, 2, *options, "--budget", 2 * mark, "--yes", expect=12)
            self.assertIn(f"of the budget of ${2 * mark:.2f} (mark: ${mark:.2f}); it is saved", result.stderr)
            return run_dir, mark, records(run_dir, "end")[-1]

        # Its save is kept back, as long as the one before it took; how long the ranks take to leave depends on what else the machine does.
        run_dir, mark, end = first_good(measure, lambda _, mark, end: end["spend"] < mark)
        spent = self.cost(run_dir)["run"]["total_USD"]["amount"]
        self.assertLess(end["spend"], mark)
        self.assertLess(spent, 2 * mark)
        self.assertEqual((end["reason"], end["exit_code"]), ("budget", 12))
        self.assertTrue(newest_checkpoint(run_dir).name.endswith(f"{end['step']:08}"))
        # The same command again: nothing is started. A budget below what is spent is an error.
        again = self.train(run_dir, 2, *options, "--budget", 2 * mark, "--yes", expect=12)
        self.assertIn("are spent, and starting costs up to", again.stderr)
        less = self.train(run_dir, 2, *options, "--budget", 1, expect=2)
        self.assertIn("--budget: $1.00 is no more than the $", less.stderr)
        self.assertEqual(len(ledger(run_dir)), 2)

    def test_what_will_cost_too_much_is_refused_once_it_is_measured_and_then_before_it_starts(self):
        options = [*ENDLESS[:-1], 1, *A_DOLLAR_A_SECOND, "--budget", 1000]
        result = self.train("run", 2, *options, expect=12)
        self.assertRegex(result.stderr, r"the run will cost \$.*; it is saved and stopped after step \d+, which has cost \$\d")
        self.assertIn("--yes", result.stderr)
        self.assertLess(records(self.folder / "run", "end")[-1]["step"], 20)
        again = self.train("run", 2, *options, expect=12)
        self.assertIn("going by its last attempt", again.stderr)
        told = self.train("other", 2, *options, "--expected-hours", 1, expect=12)
        self.assertIn("the run will cost $3,600.00, going by --expected-hours, above the budget of $1,000.00", told.stderr)
        self.assertFalse((self.folder / "other").exists())
        # A run that is begun anew goes by what was measured before.
        self.train("run", 2, *options[:-2], "--max-steps", 30)
        fresh = self.train("run", 2, *options, "--fresh", expect=12)
        self.assertRegex(fresh.stderr, r"the run will cost \$.*, going by the \d+ steps of .*run \(.* ms each\)")
        self.assertEqual(len(ledger(self.folder / "run")), 2)

    def test_the_projection_at_a_fifth_of_the_run_is_what_it_costs(self):
        def measure(number):
            run_dir = self.folder / f"run-{number}"
            self.train(run_dir, 1, "--model", "mlp", "--data", "synthetic", "--synthetic-samples", 8192, "--batch-size", 64,
                       "--max-epochs", 10, "--log-every-n-steps", 1, "--price-per-gpu-hour", 3600, "--no-report")
            steps = records(run_dir, "train")
            first, rest = steps[:len(steps) // 5], steps[len(steps) // 5:]
            final = ledger(run_dir)[-1]["running_s"]  # a dollar a second
            off = (first[-1]["spend"] + first[-1]["spend_to_finish"]) / final - 1
            # What nobody can foresee: a busy machine's steps become slower or quicker.
            unsteady = sum(s["step_time_s"] for s in rest) / len(rest) / (sum(s["step_time_s"] for s in first) / len(first)) - 1
            print(f"projected at 20 % of the run, beside its end: {100 * off:+.1f} %; steps became {100 * unsteady:+.1f} % slower")
            return off, unsteady

        # Nor can a save that stalls be foreseen, but not every run has one.
        allowed = lambda unsteady: 0.05 + abs(unsteady)
        off, unsteady = first_good(measure, lambda off, unsteady: abs(off) <= allowed(unsteady))
        self.assertLessEqual(abs(off), allowed(unsteady))

    def test_a_granule_that_would_cross_the_mark_is_not_begun(self):
        result = self.train("run", 2, *ENDLESS, *A_DOLLAR_A_SECOND, "--billing", "per-hour", "--budget", 4000, expect=12)
        self.assertIn("starting costs up to $3,600.00", result.stderr)
        self.assertFalse((self.folder / "run").exists())

    def test_fewer_ranks_go_on_once_the_loss_has_fallen(self):
        run_dir = self.folder / "run"
        mlp = ["--model", "mlp", "--data", "synthetic", "--synthetic-samples", "2048", "--batch-size", "16", "--log-every-n-steps", "1",
               "--max-epochs", 2]  # 128 steps
        options = [*mlp, *A_DOLLAR_A_SECOND, "--adaptive-ranks", "loss<100:1"]
        result = self.train("run", 2, *options)
        self.assertIn("lockstep: goes on with 1 rank, not 2, as --adaptive-ranks has it", result.stderr)
        self.assertIn("lockstep: paused after step 51, to go on with fewer ranks", result.stderr)
        self.assertNotIn("run the same command again", result.stderr)
        first, second = ledger(run_dir)
        self.assertEqual((first["gpus"], first["reason"], first["next_ranks"]), (2, "fewer_ranks", 1))
        self.assertEqual((second["gpus"], second["reason"], second["step"]), (1, "finished", 128))
        # The fiftieth loss is known when the next step's vote goes round.
        self.assertEqual(first["step"], 51)
        self.assertEqual([r["world_size"] for r in records(run_dir, "start")], [2, 1])
        event, = [r for r in records(run_dir, "event") if r["event"] == "fewer_ranks"]
        self.assertEqual(event["detail"], "loss<100: goes on with 1 of 2 ranks")
        self.assertRegex(result.stdout, r"fewer ranks +1 of 2 for 77 steps: (saved|cost) \$")
        saving = self.cost(run_dir)["fewer_ranks"]
        per_step = sum(first["parts_s"][part] for part in ("compute", "exposed_communication", "data")) / 51
        self.assertAlmostEqual(saving["all_ranks"]["amount"], 77 * per_step, places=6)
        self.assertAlmostEqual(saving["changes"]["amount"], second["parts_s"]["start_up"] / 2, places=6)
        # No bit has changed.
        self.train("whole", 2, *mlp, "--logical-world-size", 2)
        self.assertEqual(model_digest(run_dir), model_digest(self.folder / "whole"))

    def test_the_launcher_waits_for_off_peak_hours(self):
        hour = datetime.datetime.now(datetime.timezone.utc).hour
        window = f"{(hour + 3) % 24:02}:00-{(hour + 4) % 24:02}:00,UTC"
        launcher = subprocess.Popen(list(map(str, command(self.folder / "run", 1, *ENDLESS, "--off-peak", window))),
                                    stderr=subprocess.PIPE, text=True)
        self.assertIn(f"waits until ", launcher.stderr.readline())
        launcher.send_signal(signal.SIGINT)
        _, error = launcher.communicate(timeout=30)
        self.assertEqual(launcher.returncode, 10, error)
        self.assertFalse((self.folder / "run").exists())


if __name__ == "__main__":
    unittest.main(verbosity=2)

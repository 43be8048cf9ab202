"""Ranks that are killed, stopped or spoilt, machines that are taken away, and runs that go on all the same: to the same bits."""

import http.server
import json
import os
import pathlib
import re
import signal
import subprocess
import threading
import time
import unittest

from resume_test import rank_pids, wait_for
from run import BIN, RunTest, command, first_pictures, model_digest, newest_checkpoint, records, run

# 64 steps an epoch on 2 ranks.
MLP = ["--model", "mlp", "--data", "synthetic", "--synthetic-samples", "2048", "--batch-size", "16", "--log-every-n-steps", "1"]
# What is done to a run finds it running, however quick or slow the machine is: it ends when it is paused.
ENDLESS = [*MLP, "--max-epochs", "100000", "--checkpoint-interval", "20"]
MORE = 70  # steps that a run goes on for once it is continued: more than an epoch


def events(run_dir, name):
    return [r for r in records(run_dir, "event") if r["event"] == name]


class SurvivingTest(RunTest):
    def start(self, name, ranks, *options, **more):
        """Its output goes to a file: a pipe that nobody reads would stop it once it is full."""
        output = open(self.folder / f"{name}.output", "w+")
        process = subprocess.Popen(list(map(str, command(self.folder / name, ranks, *options))), stdout=output, stderr=subprocess.STDOUT,
                                   stdin=subprocess.DEVNULL, **more)
        process.output = pathlib.Path(output.name)
        output.close()
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def wait_for_step(self, name, step):
        def reached():
            try:
                return [r for r in records(self.folder / name, "train") if r["step"] >= step]
            except FileNotFoundError:
                return None
        return wait_for(reached)

    def wait_for_starts(self, name, count):
        wait_for(lambda: (self.folder / name / "metrics.jsonl").exists() and len(records(self.folder / name, "start")) == count)

    def first_steps(self, name, count):
        """Their events, once there are as many."""
        found = events(self.folder / name, "first_step")
        return found if len(found) == count else None

    def finish(self, process, code=0, timeout=180):
        process.wait(timeout=timeout)
        output = process.output.read_text()
        self.assertEqual(process.returncode, code, output[-4000:])
        return output

    def pause(self, process, name):
        """Of an endless run; its output, and the step it has come to."""
        process.send_signal(signal.SIGTERM)
        output = self.finish(process, 10)
        return output, records(self.folder / name, "end")[-1]["step"]

    def assert_same_weights(self, *names):
        self.assertEqual(len({model_digest(self.folder / name) for name in names}), 1)


class RestartTest(SurvivingTest):
    def test_a_killed_rank_is_replaced_and_the_run_ends_with_the_same_bits(self):
        process = self.start("run", 2, *ENDLESS, "--max-restarts", "3")
        self.wait_for_step("run", 45)
        victim = rank_pids(self.folder / "run")[1]
        killed = time.time()
        os.kill(victim, signal.SIGKILL)
        first, second = wait_for(lambda: self.first_steps("run", 2))
        output, step = self.pause(process, "run")
        self.assertRegex(output, r"lockstep: rank 1 was ended by signal 9 \(SIGKILL.*\) at \d\d:\d\d:\d\d, in step \d+")
        self.assertRegex(output, r"restart 1 of 3 in 1 s, from the checkpoint of step \d+")
        self.train("run", 2, *ENDLESS, "--max-steps", step + MORE)
        self.train("whole", 2, *ENDLESS, "--max-steps", step + MORE)
        self.assert_same_weights("run", "whole")
        restart = events(self.folder / "run", "restart")
        self.assertEqual(len(restart), 1)
        self.assertIn("rank 1 was ended by signal 9", restart[0]["detail"])
        print(f"from the death to the first new step: {second['since_failure_s']:.2f} s")
        # A start like the first, after a second's wait.
        self.assertLess(second["since_failure_s"], 5 + 4 * first["since_launch_s"])
        noted = second["time_unix_s"] - second["since_failure_s"]
        self.assertGreater(noted, killed - 0.1)
        self.assertLess(noted, records(self.folder / "run", "start")[1]["time_unix_s"])

    def test_a_stopped_rank_is_named_with_the_collective_that_waited_for_it(self):
        process = self.start("run", 2, *ENDLESS, "--timeout", "5", "--max-restarts", "3")
        self.wait_for_step("run", 25)
        os.kill(rank_pids(self.folder / "run")[1], signal.SIGSTOP)
        begin = time.monotonic()
        wait_for(lambda: "was stopped" in process.output.read_text())
        self.assertLess(time.monotonic() - begin, 45)  # 5 s of waiting, and the end of the others
        wait_for(lambda: self.first_steps("run", 2))
        output, _ = self.pause(process, "run")
        self.assertRegex(output, r"rank 1 was stopped by signal 19 \(SIGSTOP\) at [\d:]+, in step \d+; "
                                 r"rank 0: \w+ #\d+ \(.*\) timed out after 5 s, waiting for rank 1")
        self.assertIn("rank 1 was stopped", events(self.folder / "run", "restart")[-1]["detail"])

    def test_fewer_ranks_go_on_with_the_same_bits(self):
        process = self.start("run", 2, *ENDLESS, "--min-nproc", "1", "--max-restarts", "5", "--restart-delay", "0.1")
        for attempt in (1, 2):
            self.wait_for_starts("run", attempt)
            os.kill(rank_pids(self.folder / "run")[1], signal.SIGKILL)
        self.wait_for_starts("run", 3)
        output, step = self.pause(process, "run")
        self.assertIn("rank 1 keeps failing: goes on with 1 ranks, not 2; they share the same 2 logical ranks", output)
        self.assertEqual([r["world_size"] for r in records(self.folder / "run", "start")], [2, 2, 1])
        options = [*ENDLESS, "--logical-world-size", "2", "--max-steps", step + MORE]
        self.train("run", 1, *options)
        self.train("whole", 2, *options)
        self.assert_same_weights("run", "whole")


class FaultTest(SurvivingTest):
    def test_a_crash_is_named_and_its_survivors_do_not_take_it_for_a_pause(self):
        process = self.start("run", 3, *ENDLESS)
        self.wait_for_step("run", 25)
        os.kill(rank_pids(self.folder / "run")[2], signal.SIGSEGV)
        begin = time.monotonic()
        output = self.finish(process, 11)
        self.assertLess(time.monotonic() - begin, 40)  # not the ten minutes of --timeout
        self.assertRegex(output, r"rank 2 was ended by signal 11 \(SIGSEGV\) at [\d:]+, in (step|the)")
        per_epoch = 2048 // 3 // 16 + 1
        for checkpoint in (self.folder / "run" / "checkpoints").glob("step_*"):
            step = int(checkpoint.name[5:])
            self.assertTrue(step % 20 == 0 or step % per_epoch == 0, checkpoint)
        self.assertEqual(records(self.folder / "run", "end"), [])

    def test_a_slow_rank_is_no_dead_one(self):
        process = self.start("run", 2, *ENDLESS, "--timeout", "10")
        self.wait_for_step("run", 5)
        slow = rank_pids(self.folder / "run")[1]
        for _ in range(3):
            os.kill(slow, signal.SIGSTOP)
            time.sleep(1)
            os.kill(slow, signal.SIGCONT)
            time.sleep(0.1)
        output, _ = self.pause(process, "run")
        self.assertNotIn("stopped", output)

    def test_a_second_signal_while_it_saves_leaves_the_newest_checkpoint(self):
        options = [*ENDLESS[:-1], "1"]  # saves after each step
        process = self.start("run", 2, *options)
        self.wait_for_step("run", 5)
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)
        self.assertIn(process.returncode, (10, 11))  # 10: the save was quicker
        step = int(newest_checkpoint(self.folder / "run").name[5:])
        self.train("run", 2, *options, "--max-steps", step + MORE, "--resume")
        self.train("whole", 2, *ENDLESS, "--max-steps", step + MORE)
        self.assert_same_weights("run", "whole")


class PauseTest(SurvivingTest):
    def test_the_pause_command_and_then_another_number_of_ranks(self):
        options = [*ENDLESS, "--logical-world-size", "2"]
        process = self.start("run", 2, *options)
        self.wait_for_step("run", 5)
        paused = run([BIN / "lockstep", "pause", self.folder / "run"])
        self.assertEqual(paused.returncode, 0, paused.stderr)
        self.finish(process, 10)
        step = records(self.folder / "run", "end")[-1]["step"]
        self.assertEqual(paused.stdout, f"paused after step {step}; the same lockstep train goes on\n")
        self.train("run", 1, *options, "--max-steps", step + MORE)
        self.train("whole", 2, *options, "--max-steps", step + MORE)
        self.assert_same_weights("run", "whole")
        again = run([BIN / "lockstep", "pause", self.folder / "run"])
        self.assertEqual(again.returncode, 3)
        self.assertIn("it finished after step", again.stderr)

    def test_an_evaluation_is_left_for_a_pause_and_done_anew(self):
        # 8 steps an epoch, then 10,000 test samples of batch 1: seconds, for a request that comes as they begin.
        data = self.folder / "data"
        data.mkdir()
        first_pictures(data, train=256, test=10_000)
        options = ["--model", "convnet", "--data", data, "--batch-size", "16", "--log-every-n-steps", "1", "--max-epochs", "2",
                   "--max-steps", "10", "--eval-batch-size", "1"]
        process = self.start("run", 2, *options)
        self.wait_for_step("run", 8)
        process.send_signal(signal.SIGTERM)
        output = self.finish(process, 10)
        end = records(self.folder / "run", "end")[-1]
        self.assertEqual((end["step"], end["epochs"]), (8, 0), output)
        self.assertEqual(records(self.folder / "run", "eval"), [])
        self.train("run", 2, *options)
        self.train("whole", 2, *options)
        self.assert_same_weights("run", "whole")
        key = lambda r: (r["step"], r["loss"], r["accuracy"])
        self.assertEqual([key(r) for r in records(self.folder / "run", "eval")], [key(r) for r in records(self.folder / "whole", "eval")])

    def test_a_pause_during_the_start_is_obeyed_after_the_first_step(self):
        # bash: other shells unblock all signals as they start.
        held_back = self.folder / "held_back"
        held_back.write_text(f"""#!/bin/bash
echo $$ > {self.folder}/$OMPI_COMM_WORLD_RANK.pid
until [ -e {self.folder}/go ]; do sleep 0.01; done
exec {BIN}/lockstep-train "$@"
""")
        held_back.chmod(0o755)
        process = self.start("run", 2, *ENDLESS, env=os.environ | {"LOCKSTEP_TRAIN_PROGRAM": str(held_back)})
        pids = [int(wait_for(lambda: (self.folder / f"{rank}.pid").exists() and (self.folder / f"{rank}.pid").read_text()))
                for rank in range(2)]
        process.send_signal(signal.SIGTERM)
        wait_for(lambda: all(is_pending(pid, signal.SIGUSR1) for pid in pids))
        (self.folder / "go").touch()
        self.finish(process, 10)
        self.assertEqual(records(self.folder / "run", "end")[-1]["step"], 1)


def is_pending(pid, number):
    """Whether that signal has come to a process that blocks it."""
    pending = re.search(r"ShdPnd:\s+(\w+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1]
    return int(pending, 16) >> (number - 1) & 1


class NoticeTest(SurvivingTest):
    def test_a_clouds_notice_pauses_all_ranks(self):
        class Google(http.server.BaseHTTPRequestHandler):
            answer = b"FALSE"

            def do_GET(self):
                self.send_response(200)
                self.send_header("Metadata-Flavor", "Google")
                self.send_header("Content-Length", str(len(self.answer)))
                self.end_headers()
                self.wfile.write(self.answer)

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Google)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        url = f"http://127.0.0.1:{server.server_port}"
        process = self.start("run", 2, *ENDLESS, "--notices", "gcp", "--notices-url", url)
        self.wait_for_step("run", 5)
        Google.answer = b"TRUE"
        output = self.finish(process, 10)
        self.assertIn("lockstep: Google preempts this machine: pausing after this step", output)
        step = records(self.folder / "run", "end")[-1]["step"]
        self.assertEqual(newest_checkpoint(self.folder / "run").name, f"step_{step:08d}")


class DriftTest(SurvivingTest):
    def read_newest(self, name):
        try:
            return (newest_checkpoint(self.folder / name) / "model.safetensors").read_bytes()
        except FileNotFoundError:  # the run has just replaced it
            return None

    def test_a_flipped_bit_on_one_rank_is_found_and_the_rank_named(self):
        # So small a rate changes no weight: those of the first checkpoint lie in every rank's memory, to be found there.
        # Each rank updates its own: where the update is shared out, every rank takes its owner's result, and the bit flips back.
        options = [*ENDLESS, "--lr", "1e-30", "--check-drift-every-n-steps", "5", "--shard-optimizer", "off"]
        process = self.start("run", 3, *options)
        self.wait_for_step("run", 25)
        model = wait_for(lambda: self.read_newest("run"))
        header = int.from_bytes(model[:8], "little")
        tensors = json.loads(model[8:8 + header])
        first, last = next(t["data_offsets"] for n, t in tensors.items() if n.endswith("weight"))
        pattern = model[8 + header + first:8 + header + first + 64]
        self.assertGreater(flip_a_bit(rank_pids(self.folder / "run")[1], pattern), 0)
        output = self.finish(process, 11)
        self.assertRegex(output, r"the parameters after step \d+ are not equal on all ranks: rank 1 differs from the 2 others")
        self.assertEqual(records(self.folder / "run", "end")[-1]["reason"], "drift")


def flip_a_bit(pid, pattern):
    """In each place of a process's memory where `pattern` lies; how many there are."""
    flipped = 0
    with open(f"/proc/{pid}/mem", "r+b", buffering=0) as memory:
        for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
            begin, end = (int(x, 16) for x in line.split()[0].split("-"))
            if not line.split()[1].startswith("rw") or end - begin > 1 << 30:
                continue
            try:
                memory.seek(begin)
                content = memory.read(end - begin)
            except OSError:
                continue
            at = content.find(pattern)
            while at >= 0:
                memory.seek(begin + at)
                memory.write(bytes([pattern[0] ^ 1]))
                flipped += 1
                at = content.find(pattern, at + 1)
    return flipped


if __name__ == "__main__":
    unittest.main(verbosity=2)

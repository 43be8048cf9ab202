"""Whole trainings on one GPU, as a user starts them: `ctest -L gpu`."""

import json
import os
import unittest

from run import BIN, RunTest, model_digest, records, run

DATA = ["--data", "synthetic", "--synthetic-samples", "512", "--batch-size", "16"]
MLP = ["--model", "mlp", *DATA, "--max-steps", "24", "--momentum", "0.9"]
RESNET = ["--model", "resnet18", *DATA, "--max-steps", "12", "--momentum", "0.9"]
# Of two ranks that share the GPU.
BACKENDS = {"mpi": ["--backend", "mpi"]} | ({"nccl": ["--share-gpus"]} if "LOCKSTEP_TEST_SHARE_GPUS" in os.environ else {})


class GpuTest(RunTest):
    def train(self, name, ranks, *options, expect=0, timeout=240):
        result = run([BIN / "lockstep", "train", "--nproc-per-node", ranks, "--device", "cuda", "--run-dir", self.folder / name, *options],
                     timeout=timeout)
        self.assertEqual(result.returncode, expect, f"{result.args}\n{result.stdout}\n{result.stderr}")
        return result

    def events(self, name):
        return {record["event"]: record for record in records(self.folder / name, "event")}

    def assert_same_model(self, *names):
        self.assertEqual(len({model_digest(self.folder / name) for name in names}), 1, names)

    def test_two_ranks_on_one_card_are_two_logical_ranks_of_one(self):
        for model in (MLP, RESNET):
            logical = [*model, "--logical-world-size", "2", "--reduction-order", "tree"]
            self.train(f"one-{model[1]}", 1, *logical)
            for backend, options in BACKENDS.items():
                # They compare their parameters after each step, and end with 11 if they differ.
                two = self.train(f"{backend}-{model[1]}", 2, *logical, *options, "--check-drift-every-n-steps", "1")
                self.assertIn(f"backend {backend}", two.stdout)
                self.assert_same_model(f"one-{model[1]}", f"{backend}-{model[1]}")

    def test_two_ranks_need_two_gpus_or_the_option_that_shares_one(self):
        result = self.train("shared", 2, *MLP, "--backend", "nccl", expect=2)
        self.assertRegex(result.stderr + result.stdout, "2 ranks on this machine need as many GPUs, it has 1")
        self.assertIn("--share-gpus", result.stderr + result.stdout)

    def test_a_resumed_run_has_the_bits_of_one_that_was_not(self):
        pinned = ["--logical-world-size", "1"]  # which asks for kernels that repeat
        self.train("whole", 1, *RESNET, *pinned)
        for steps in ("5", "12"):
            self.train("parts", 1, *[steps if option == "12" else option for option in RESNET], *pinned)
        self.assert_same_model("whole", "parts")

    def test_captured_steps_have_the_bits_of_others(self):
        self.train("eager", 1, *MLP)
        self.train("captured", 1, *MLP, "--cuda-graph", "on")
        self.assertIn("captured", self.events("captured"))
        self.assert_same_model("eager", "captured")

    def test_a_steady_step_never_waits_for_the_gpu(self):
        common = [*RESNET[:-4], "--max-steps", "40", "--momentum", "0.9", "--log-every-n-steps", "20", "--cuda-sync-debug-mode", "error"]
        for name, options in {"float32": [], "bf16": ["--precision", "bf16-mixed", "--memory-format", "channels-last"],
                              "fp16": ["--precision", "16-mixed", "--gradient-clip-val", "1"],
                              "adamw": ["--optimizer", "adamw", "--lr-schedule", "cosine"],
                              "captured": ["--cuda-graph", "on", "--precision", "bf16-mixed"]}.items():
            with self.subTest(name):
                options = [*common, *options]
                if "adamw" in options:
                    at = options.index("--momentum")
                    del options[at:at + 2]
                self.train(name, 1, *options)

    def test_each_precision_learns(self):
        for precision in ("32-true", "bf16-mixed", "16-mixed"):
            self.train(precision, 1, *MLP, "--precision", precision, "--log-every-n-steps", "1", "--max-epochs", "10")
            losses = [record["loss"] for record in records(self.folder / precision, "train")]
            self.assertLess(losses[-1], losses[0], precision)

    def test_memory_that_runs_out_in_a_step_leaves_advice(self):
        result = self.train("large", 1, "--model", "resnet18", "--data", "synthetic", "--synthetic-samples", "400000",
                            "--batch-size", "400000", expect=11)
        self.assertRegex(result.stderr + result.stdout, r"out of memory in step 1 on cuda:0.*--batch-size \d+ and --accumulate-grad-batches \d+")

    def test_the_memory_that_was_taken_is_reported(self):
        self.train("peak", 1, *MLP)
        end = records(self.folder / "peak", "end")[-1]
        self.assertGreater(end["peak_device_allocated_bytes"], 1 << 20)
        self.assertGreaterEqual(end["peak_device_reserved_bytes"], end["peak_device_allocated_bytes"])

    def test_a_trace_has_the_devices_lines(self):
        self.train("traced", 1, *RESNET, "--trace")
        trace = json.loads((self.folder / "traced" / "trace.json").read_text())
        device = [event for event in trace["traceEvents"] if event.get("cat") == "device"]
        backward = [event for event in device if event["name"] == "backward"]
        collectives = [event for event in trace["traceEvents"] if event.get("cat") == "collective"]
        self.assertTrue(backward and collectives)
        under = [one for one in collectives for other in backward
                 if other["ts"] <= one["ts"] < other["ts"] + other["dur"] / 2]
        self.assertTrue(under, "no reduction begins in the first half of a backward pass")


if __name__ == "__main__":
    unittest.main()

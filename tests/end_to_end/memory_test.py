"""--activation-checkpointing, --memory-format and --matmul-precision, and memory that runs out."""

import json
import resource
import unittest

from run import BIN, RunTest, command, model_digest, newest_checkpoint, records, run

import torch
from safetensors.torch import load_file

GPT2 = ["--model", "gpt2-mini", "--data", "synthetic-tokens", "--synthetic-samples", "64", "--sequence-length", "32", "--batch-size", "4",
        "--optimizer", "adamw", "--lr", "0.001", "--log-every-n-steps", "1"]
RESNET = ["--model", "resnet18", "--data", "synthetic", "--synthetic-samples", "32", "--batch-size", "4", "--log-every-n-steps", "1",
          "--lr", "0.001"]
CHECKPOINTED = "--activation-checkpointing"


def digest_of_state(run_dir):
    state = torch.load(newest_checkpoint(run_dir) / "train_state.pt")
    return [tensor.view(torch.uint8).tolist() for tensor in state["random_states"]]


class ActivationCheckpointingTest(RunTest):
    # With dropout, two batches a step and bfloat16; switched on and off on the way.
    def test_a_transformer_trains_to_the_same_bits(self):
        options = [*GPT2, "--accumulate-grad-batches", "2", "--precision", "bf16-mixed"]
        self.train("kept", 2, *options, "--max-steps", "4")
        result = self.train("again", 2, *options, "--max-steps", "2", CHECKPOINTED)
        self.assertIn("the activations of 4 blocks are computed again in the backward pass", result.stdout)
        self.assertIn("activation-checkpointing = true", (self.folder / "again" / "config.toml").read_text())
        result = self.train("again", 2, *options, "--max-steps", "3")
        self.assertNotIn("computed again", result.stdout)
        self.assertNotIn("warning", result.stderr)
        self.train("again", 2, *options, "--max-steps", "4", CHECKPOINTED)
        self.assertEqual(model_digest(self.folder / "again"), model_digest(self.folder / "kept"))
        self.assertEqual(digest_of_state(self.folder / "again"), digest_of_state(self.folder / "kept"))
        losses = [[record["loss"] for record in records(self.folder / name, "train")] for name in ("kept", "again")]
        self.assertEqual(*losses)

    def test_estimate_knows_it(self):
        kept, again = (json.loads(run([BIN / "lockstep", "estimate", "--json", "--num-threads", "1", *GPT2, *more]).stdout)
                       for more in ([], [CHECKPOINTED]))
        self.assertLess(again["memory_bytes"]["activations_per_sample"], 0.6 * kept["memory_bytes"]["activations_per_sample"])
        self.assertGreater(again["flops_per_sample"], 1.1 * kept["flops_per_sample"])
        self.assertEqual((kept["activation_checkpointing"], again["activation_checkpointing"]), (False, True))

    def test_a_model_without_blocks_is_refused(self):
        for program in (["train", "--device", "cpu", "--run-dir", self.folder / "none"], ["estimate"]):
            result = run([BIN / "lockstep", *program, "--model", "mlp", "--data", "synthetic", CHECKPOINTED])
            self.assertEqual((result.returncode, result.stderr.count("\n")), (2, 1), result.stderr)
            self.assertIn("--activation-checkpointing: model mlp has no repeated blocks", result.stderr)


class MemoryFormatTest(RunTest):
    def test_a_run_may_change_it_and_its_checkpoints_do_not_show_it(self):
        self.train("plain", 2, *RESNET, "--max-steps", "2")
        result = self.train("run", 2, *RESNET, "--max-steps", "2", "--memory-format", "channels-last")
        self.assertIn("20 weights of convolutions lie in memory as channels-last", result.stdout)
        self.train("run", 2, *RESNET, "--max-steps", "3", "--memory-format", "channels-last")
        result = self.train("run", 2, *RESNET, "--max-steps", "4")
        self.assertIn("memory format was channels-last, is contiguous", result.stderr)
        losses = [record["loss"] for record in records(self.folder / "run", "train")]
        for expected, actual in zip((record["loss"] for record in records(self.folder / "plain", "train")), losses):
            self.assertAlmostEqual(expected, actual, delta=2e-3)
        file = self.folder / "python.pt"
        result = run([BIN / "lockstep", "export", self.folder / "run", "--to", file])
        self.assertEqual(result.returncode, 0, result.stderr)
        weight = torch.load(file)["model"]["conv1.weight"]
        self.assertTrue(weight.is_contiguous())
        self.assertTrue(torch.equal(weight, load_file(newest_checkpoint(self.folder / "run") / "model.safetensors")["conv1.weight"]))

    def test_a_model_without_convolutions_is_refused(self):
        result = run(command(self.folder / "none", 1, *GPT2, "--memory-format", "channels-last"))
        self.assertEqual((result.returncode, result.stderr.count("\n")), (2, 1), result.stderr)
        self.assertIn("--memory-format channels-last: model gpt2-mini has no convolution", result.stderr)


class MatmulPrecisionTest(RunTest):
    def test_it_is_said_and_recorded(self):
        options = ["--model", "mlp", "--data", "synthetic", "--synthetic-samples", "64", "--max-steps", "1"]
        self.assertNotIn("matrix products", self.train("highest", 1, *options).stdout)
        result = self.train("high", 1, *options, "--matmul-precision", "high")
        self.assertIn("float32 matrix products are of precision high", "\n".join(result.stdout.splitlines()[:3]))
        self.assertIn("matmul-precision = 'high'", (self.folder / "high" / "config.toml").read_text())
        result = run(command(self.folder / "low", 1, *options, "--matmul-precision", "low"))
        self.assertEqual((result.returncode, result.stderr.count("\n")), (2, 1), result.stderr)
        self.assertIn("highest, high, medium", result.stderr)


class OutOfMemoryTest(RunTest):
    def test_it_says_what_to_lower(self):
        # The program and its libraries take less than this, the activations of 4096 sequences 20 times as much.
        limit = 3 << 30
        result = run(command(self.folder / "run", 1, *GPT2[:4], "--synthetic-samples", "8192", "--batch-size", "4096"),
                     preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit)))
        self.assertEqual(result.returncode, 11, result.stderr)
        (line,) = result.stderr.splitlines()
        self.assertIn("rank 0: out of memory in step 1 on cpu", line)
        self.assertIn("--batch-size 2048 and --accumulate-grad-batches 2", line)
        self.assertIn("add --activation-checkpointing", line)


if __name__ == "__main__":
    unittest.main(verbosity=2)

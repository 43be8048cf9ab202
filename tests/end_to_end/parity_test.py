"""A Lockstep run is the PyTorch DDP run: every loss and every parameter, to the bit."""

import json
import os
import sys
import unittest

from run import REFERENCE, VENV, RunTest, newest_checkpoint, records, run

import torch
from safetensors.torch import load_file


class ParityTest(RunTest):
    def compare(self, model, optimizer, ranks, steps, batch_size=64, comm_hook="none"):
        with self.subTest(model=model, optimizer=optimizer, ranks=ranks, comm_hook=comm_hook):
            name = f"{model}-{optimizer}-{ranks}-{comm_hook}"
            losses, weights = self.folder / f"{name}.jsonl", self.folder / f"{name}.safetensors"
            reference = run([sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", ranks, "--master-port",
                             20000 + os.getpid() % 20000, REFERENCE / "ddp_training.py", "--model", model, "--optimizer", optimizer,
                             "--steps", steps, "--batch-size", batch_size, "--out", weights, "--losses", losses,
                             "--comm-hook", comm_hook])
            self.assertEqual(reference.returncode, 0, reference.stderr)
            self.train(name, ranks, "--model", model, "--optimizer", optimizer, "--data", "fashion-mnist", "--lr", "0.01",
                       "--momentum", "0.9", "--batch-size", batch_size, "--max-steps", steps, "--log-every-n-steps", 1, "--seed", 42,
                       "--comm-hook", comm_hook)

            theirs = [json.loads(line) for line in losses.read_text().splitlines()]
            ours = [{"step": r["step"], "loss": r["loss"]} for r in records(self.folder / name, "train")]
            self.assertEqual(len(ours), steps)
            self.assertEqual(ours, theirs)  # floats from JSON: equal means the same bits

            expected = load_file(weights)
            actual = load_file(newest_checkpoint(self.folder / name) / "model.safetensors")
            self.assertEqual(sorted(actual), sorted(expected))
            for key, tensor in expected.items():
                self.assertTrue(torch.equal(actual[key].view(-1).view(torch.uint8), tensor.view(-1).view(torch.uint8)), key)

    def test_mlp_with_sgd_on_two_ranks(self):
        self.compare("mlp", "sgd", ranks=2, steps=100)

    def test_three_and_four_ranks(self):
        self.compare("mlp", "sgd", ranks=3, steps=12)
        self.compare("mlp", "adamw", ranks=4, steps=12)

    def test_convnet_with_adamw(self):
        self.compare("convnet", "adamw", ranks=3, steps=12, batch_size=16)

    def test_compressed_gradients(self):
        self.compare("mlp", "sgd", ranks=2, steps=12, comm_hook="fp16")
        self.compare("mlp", "adamw", ranks=3, steps=12, comm_hook="bf16")

    def test_resnet18_with_batch_norm(self):
        self.compare("resnet18", "sgd", ranks=3, steps=3, batch_size=2)


if __name__ == "__main__":
    unittest.main(verbosity=2)

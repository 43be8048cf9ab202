"""A Lockstep run is the PyTorch DDP run: every loss and every parameter, to the bit.

    parity_test.py                      what each run of the suite checks
    parity_test.py FullParityTest       all models, optimizers and rank counts, 50 steps each (ctest -L parity)
"""

import json
import os
import pathlib
import unittest

from run import FASHION_MNIST, RunTest, first_pictures, newest_checkpoint, pytorch_ddp, records

import torch
from safetensors.torch import load_file

TEXT = f"text:{pathlib.Path(__file__).resolve().parents[2] / 'LICENSE'}"


class ParityTest(RunTest):
    pictures = FASHION_MNIST  # the folder of fashion-mnist

    def compare(self, model, optimizer, ranks, steps, batch_size=64, comm_hook="none", lr=0.01, timeout=600,
                precision="32-true", init_scale=65536, clip=0.0):
        with self.subTest(model=model, optimizer=optimizer, ranks=ranks, comm_hook=comm_hook, precision=precision):
            name = f"{model}-{optimizer}-{ranks}-{comm_hook}-{precision}"
            has_tokens = model in ("gpt2-mini", "bert-mini")
            losses, weights = self.folder / f"{name}.jsonl", self.folder / f"{name}.safetensors"
            shared = ["--model", model, "--optimizer", optimizer, "--lr", lr, "--momentum", 0.9, "--batch-size", batch_size,
                      "--comm-hook", comm_hook, "--seed", 42, "--sequence-length", 31,
                      "--precision", precision]
            pytorch_ddp(ranks, *shared, "--init-scale", init_scale, "--growth-interval", 5, "--clip", clip,
                        "--steps", steps, "--data", TEXT if has_tokens else self.pictures, "--out", weights,
                        "--losses", losses)
            self.train(name, ranks, *shared, "--data", TEXT if has_tokens else "fashion-mnist", "--max-steps", steps,
                       "--grad-scaler-init-scale", init_scale, "--grad-scaler-growth-interval", 5, "--gradient-clip-val", clip,
                       "--max-epochs", steps, "--log-every-n-steps", 1, timeout=timeout)

            theirs = [json.loads(line) for line in losses.read_text().splitlines()]
            ours = [{"step": r["step"], "loss": r["loss"]} for r in records(self.folder / name, "train")]
            self.assertEqual(len(ours), steps)
            self.assertEqual(ours, theirs)  # floats from JSON: equal means the same bits

            expected = load_file(weights)
            actual = load_file(newest_checkpoint(self.folder / name) / "model.safetensors")
            self.assertEqual(sorted(actual), sorted(expected))
            for key, tensor in expected.items():
                self.assertTrue(torch.equal(actual[key].view(-1).view(torch.uint8), tensor.view(-1).view(torch.uint8)), key)


class QuickParityTest(ParityTest):
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

    # From a scale at which all gradients overflow, past those at which some rank's do, until it has grown again.
    def test_mixed_precision(self):
        self.compare("mlp", "sgd", ranks=2, steps=12, precision="bf16-mixed")
        self.compare("mlp", "sgd", ranks=3, steps=30, precision="16-mixed", init_scale=2.0**30)
        self.compare("convnet", "adamw", ranks=2, steps=16, batch_size=16, precision="16-mixed", init_scale=2.0**24, clip=0.5)

    def test_resnet18_with_batch_norm(self):
        self.compare("resnet18", "sgd", ranks=3, steps=3, batch_size=2)

    # The text has 329 samples of 31 tokens, or 365 masked ones, which neither 2 nor 3 divides.
    def test_gpt2_with_dropout(self):
        self.compare("gpt2-mini", "sgd", ranks=2, steps=4, batch_size=83)  # two epochs of two steps

    def test_bert_with_dropout(self):
        self.compare("bert-mini", "adamw", ranks=3, steps=3, batch_size=4, lr=0.001)


class FullParityTest(ParityTest):
    """Data sets of 611 pictures, 329 sequences and 365 pairs, none of which 2, 3 or 4 divides."""

    def setUp(self):
        super().setUp()
        self.pictures = self.folder / "fashion-mnist"
        self.pictures.mkdir()
        first_pictures(self.pictures, train=611, test=101)
        os.environ["LOCKSTEP_DATA"] = str(self.folder)
        self.addCleanup(os.environ.pop, "LOCKSTEP_DATA")

    def test_everything(self):
        for model in ("mlp", "convnet", "resnet18", "gpt2-mini", "bert-mini"):
            for optimizer in ("sgd", "adamw"):
                for ranks in (1, 2, 3, 4):
                    self.compare(model, optimizer, ranks, steps=50, batch_size=8, timeout=900, lr=0.01 if optimizer == "sgd" else 0.001)
                    print(f"{model}, {optimizer}, {ranks} ranks: compared", flush=True)


if __name__ == "__main__":
    unittest.main(verbosity=2, defaultTest="QuickParityTest")

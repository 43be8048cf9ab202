"""From Python to Lockstep and back every few steps: the bits of Python alone that wraps its DDP anew at the same steps."""

import json
import os
import unittest

from run import BIN, RunTest, newest_checkpoint, pytorch_ddp, records, run

import torch
from safetensors.torch import load_file, save_file

OPTIONS = ["--model", "mlp", "--data", "fashion-mnist", "--batch-size", 16, "--seed", 42, "--log-every-n-steps", 1]
RANKS = int(os.environ.get("LOCKSTEP_EXCHANGE_RANKS", "2"))


class ExchangeTest(RunTest):
    def python(self, name, steps, *options):
        """Steps of the reference script; its checkpoint NAME.pt and losses NAME.jsonl."""
        pytorch_ddp(RANKS, "--model", "mlp", "--batch-size", 16, "--steps", steps, "--out", self.folder / f"{name}.safetensors",
                    "--losses", self.folder / f"{name}.jsonl", "--checkpoint", self.folder / f"{name}.pt", *options)
        return [json.loads(line) for line in (self.folder / f"{name}.jsonl").read_text().splitlines()]

    def export(self, name, to, *options):
        result = run([BIN / "lockstep", "export", self.folder / name, "--to", to, *options])
        self.assertEqual(result.returncode, 0, result.stderr)

    def go_to_and_fro(self, optimizer, theirs, ours):
        """40 steps: 10 in Python, 10 in Lockstep, and again; against 40 in Python with a new DDP after each 10."""
        alone = self.python("alone", 40, "--rewrap", 10, "--optimizer", optimizer, *theirs)
        losses = self.python("first", 10, "--optimizer", optimizer, *theirs)
        for begin in (10, 30):
            if begin > 10:
                losses += self.python("third", begin, "--optimizer", optimizer, *theirs, "--resume", self.folder / "lockstep10.pt")
            name = f"lockstep{begin}"
            result = self.train(name, RANKS, *OPTIONS, "--optimizer", optimizer, "--max-steps", begin + 10, *ours, "--init-from",
                                self.folder / ("first.pt" if begin == 10 else "third.pt"))
            self.assertIn(f"after step {begin}", result.stdout)
            self.assertNotIn("warning", result.stderr)
            losses += [{"step": r["step"], "loss": r["loss"]} for r in records(self.folder / name, "train")]
            self.export(name, self.folder / f"{name}.pt")
        self.assertEqual(losses, alone)
        expected = load_file(self.folder / "alone.safetensors")
        actual = load_file(newest_checkpoint(self.folder / "lockstep30") / "model.safetensors")
        self.assertEqual(sorted(actual), sorted(expected))
        for key, tensor in expected.items():
            self.assertTrue(torch.equal(actual[key].view(torch.uint8), tensor.view(torch.uint8)), key)
        back = torch.load(self.folder / "lockstep30.pt")
        python = torch.load(self.folder / "alone.pt")
        self.assertEqual(sorted(back["optimizer"]["state"]), sorted(python["optimizer"]["state"]))
        for index, entries in python["optimizer"]["state"].items():
            for key, tensor in entries.items():
                self.assertTrue(torch.equal(back["optimizer"]["state"][index][key], tensor), (index, key))

    def test_adamw_with_a_warm_up_and_cosine(self):
        self.go_to_and_fro("adamw", ["--warmup", 5, "--cosine", 35, "--lr", 0.01],
                           ["--lr", 0.01, "--lr-schedule", "cosine", "--lr-schedule-length", 35, "--warmup-steps", 5,
                            "--weight-decay", 0])

    if RANKS > 2:  # where there is time
        def test_sgd(self):
            self.go_to_and_fro("sgd", ["--lr", 0.05], ["--lr", 0.05])


class FilesTest(RunTest):
    SMALL = ["--model", "mlp", "--data", "synthetic", "--synthetic-samples", 64, "--batch-size", 8]

    def setUp(self):
        super().setUp()
        self.train("run", 1, *self.SMALL, "--max-steps", 4, "--optimizer", "adamw", "--lr-schedule", "one-cycle",
                   "--lr-schedule-length", 30, "--max-epochs", 1)
        self.weights = newest_checkpoint(self.folder / "run") / "model.safetensors"

    def test_weights_begin_a_run(self):
        tensors = load_file(self.weights)
        for name, tensors in (("plain", tensors), ("prefixed", {"module." + key: value for key, value in tensors.items()})):
            save_file(tensors, self.folder / f"{name}.safetensors")
            torch.save(tensors, self.folder / f"{name}.pt")
            for suffix in ("safetensors", "pt"):
                self.train(f"from-{name}-{suffix}", 2, *self.SMALL, "--max-steps", 2, "--init-from", self.folder / f"{name}.{suffix}")
        ended = [load_file(newest_checkpoint(folder) / "model.safetensors") for folder in sorted(self.folder.glob("from-*"))]
        self.assertEqual(len(ended), 4)
        for other in ended[1:]:
            for key, tensor in ended[0].items():
                self.assertTrue(torch.equal(other[key], tensor), key)

    def test_all_that_does_not_fit_is_named_at_once(self):
        tensors = load_file(self.weights)
        tensors["net.0.wieght"] = tensors.pop("net.0.weight")
        tensors["net.2.bias"] = torch.zeros(3)
        del tensors["net.4.bias"]
        tensors["extra"] = torch.zeros(1)
        torch.save(tensors, self.folder / "wrong.pt")
        result = self.train("wrong", 2, *self.SMALL, "--init-from", self.folder / "wrong.pt", expect=3)
        for part in ("wrong.pt", "net.0.wieght for net.0.weight", "missing: net.4.bias", "not in the model: extra",
                     "net.2.bias is Float[3] where the model has Float[512]"):
            self.assertIn(part, result.stderr)
        self.assertEqual(len([line for line in result.stderr.splitlines() if "error" in line]), 1)

    def test_what_is_no_data_is_refused_by_name(self):
        torch.save({"model": load_file(self.weights), "optimizer": torch.nn.Linear(1, 1)}, self.folder / "object.pt")
        result = self.train("object", 1, *self.SMALL, "--init-from", self.folder / "object.pt", expect=3)
        self.assertIn("torch.nn.modules.linear.Linear", result.stderr)
        result = self.train("none", 1, *self.SMALL, "--init-from", self.folder / "none.pt", expect=3)
        self.assertIn("none.pt", result.stderr)

    def test_python_goes_on_with_what_is_exported(self):
        result = run([BIN / "lockstep", "export", self.folder / "run"])
        self.assertEqual(result.returncode, 0, result.stderr)
        exported = torch.load(self.folder / "run" / "step_00000004.pt")
        weights = load_file(self.weights)
        self.assertEqual(sorted(exported["model"]), sorted(weights))
        for key, tensor in weights.items():
            self.assertTrue(torch.equal(exported["model"][key], tensor), key)
        parameters = [torch.nn.Parameter(tensor) for tensor in exported["model"].values()]
        optimizer = torch.optim.AdamW(parameters, lr=0.5)
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.01, total_steps=30)
        optimizer.load_state_dict(exported["optimizer"])
        scheduler.load_state_dict(exported["scheduler"])
        straight = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
        same = torch.optim.lr_scheduler.OneCycleLR(straight, max_lr=0.01, total_steps=30)
        for _ in range(4):
            straight.step()
            same.step()
        for _ in range(10):
            ours, theirs = optimizer.param_groups[0], straight.param_groups[0]
            self.assertEqual((ours["lr"], *ours["betas"]), (theirs["lr"], *theirs["betas"]))
            optimizer.step()
            straight.step()
            scheduler.step()
            same.step()
        self.assertEqual(float(optimizer.state[parameters[0]]["step"]), 4.0)
        again = run([BIN / "lockstep", "export", self.folder / "run"])
        self.assertEqual(again.returncode, 3)
        self.assertIn("is there already", again.stderr)

    def test_wrong_uses_of_export(self):
        for arguments, code, part in ((["export"], 2, "missing"), (["export", self.folder / "nowhere"], 3, "is not there"),
                                      (["export", self.folder], 3, "neither a run folder"),
                                      (["export", self.folder / "run", "--step", 3], 3, "it has 4"),
                                      (["export", self.folder / "run", "--two", "x"], 2, "did you mean --to")):
            result = run([BIN / "lockstep", *arguments])
            self.assertEqual(result.returncode, code, result.stderr)
            self.assertIn(part, result.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)

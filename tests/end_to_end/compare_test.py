"""lockstep compare: what it says about two runs, about files, and about a run and a PyTorch script."""

import json
import os
import shutil
import unittest

from run import BIN, RunTest, newest_checkpoint, pytorch_ddp, run

import torch
from safetensors.torch import load_file, save_file

BASE = ["--model", "mlp", "--data", "fashion-mnist", "--batch-size", 16, "--checkpoint-interval", 3, "--log-every-n-steps", 1,
        "--record-hashes"]
SMALL = [*BASE, "--max-steps", 6]


class CompareTest(RunTest):
    def compare(self, a, b, *options, expect):
        result = run([BIN / "lockstep", "compare", a, b, *options])
        self.assertEqual(result.returncode, expect, f"{result.stdout}\n{result.stderr}")
        return json.loads(result.stdout) if "--json" in options else result.stdout + result.stderr

    def test_two_runs_and_the_first_thing_that_differs(self):
        self.train("a", 2, *SMALL)
        self.train("b", 2, *SMALL)
        self.train("parts", 2, *BASE, "--max-steps=4")  # goes on: hashes are appended
        self.train("parts", 2, *SMALL)
        for other in ("b", "parts"):
            found = self.compare(self.folder / "a", self.folder / other, "--json", expect=0)
            self.assertTrue(found["equal"])
            self.assertEqual((found["losses"]["steps"], found["hashes"]["steps"], found["weights"]["tensors"]), (6, 6, 6))
            self.assertEqual((found["step_a"], found["step_b"]), (6, 6))
        self.assertEqual(self.compare(self.folder / "a", self.folder / "b", expect=0).splitlines()[-1], "equal")

        with self.subTest("another seed"):
            self.train("seed", 2, *SMALL, "--seed", 43)
            text = self.compare(self.folder / "a", self.folder / "seed", expect=1)
            self.assertIn("the first difference is in step 1, inputs: rank 0 (and 1 more of 2)", text)
            self.assertIn("different in 6 of 6 steps\n         first at step 1", text)
            self.assertIn("different in 6 of 6 tensors", text)
            self.assertEqual(text.splitlines()[-1], "different")
        with self.subTest("another learning rate, from the second epoch of the schedule on"):
            self.train("rate", 2, *SMALL, "--lr-schedule", "multi-step", "--lr-milestones", 4, "--lr-gamma", 0.5)
            found = self.compare(self.folder / "a", self.folder / "rate", "--json", expect=1)
            self.assertEqual(found["hashes"]["first"],
                             {"step": 5, "stage": "weights", "what": "net.0.weight", "different_in_stage": 6, "in_stage": 6})
            self.assertEqual(found["losses"]["first"]["step"], 6)
            self.assertEqual(found["weights"]["first"]["tensor"], "net.0.weight")
            self.assertGreater(found["weights"]["largest_ulps"], 0)
            found = self.compare(self.folder / "a", self.folder / "rate", "--step", 3, "--json", expect=1)
            self.assertEqual(found["weights"]["tensors_different"], 0)
        with self.subTest("a clipped gradient"):
            self.train("clipped", 2, *SMALL, "--gradient-clip-val", 0.1)
            text = self.compare(self.folder / "a", self.folder / "clipped", expect=1)
            self.assertIn("the first difference is in step 1, reduced gradients: net.0.weight (and 5 more of 6)", text)

    def test_what_is_not_compared_is_said(self):
        self.train("a", 1, *BASE, "--max-steps=2")
        self.train("b", 1, *BASE, "--max-steps=4")
        text = self.compare(self.folder / "a", self.folder / "b", expect=0)
        self.assertIn("losses   equal in 2 steps\n         only in B: 2 steps", text)
        self.assertIn("weights  not compared", text)

    def test_files(self):
        self.train("a", 1, *SMALL)
        latest = newest_checkpoint(self.folder / "a")
        weights = load_file(latest / "model.safetensors")
        torch.save({"model": {"module." + name: tensor for name, tensor in weights.items()}}, self.folder / "same.pt")
        for a, b in ((self.folder / "a", latest), (latest / "model.safetensors", self.folder / "same.pt"),
                     (self.folder / "a", self.folder / "same.pt"), (self.folder / "a" / "checkpoints" / "latest", latest)):
            self.assertIn("equal in 6 tensors, 669706 elements", self.compare(a, b, expect=0))
        tied = {**weights, "tied": weights["net.0.weight"].detach()}  # as GPT-2's state_dict() has its embedding twice
        torch.save(tied, self.folder / "tied.pt")
        self.compare(latest, self.folder / "tied.pt", expect=0)
        torch.save({**weights, "tied": weights["net.0.weight"].clone()}, self.folder / "untied.pt")
        self.assertIn("only in B: tied", self.compare(latest, self.folder / "untied.pt", expect=1))
        weights["net.2.bias"][7] = torch.nextafter(weights["net.2.bias"][7], torch.tensor(9.0))
        weights["more"] = torch.zeros(1)
        del weights["net.4.bias"]
        weights["net.4.weight"] = weights["net.4.weight"].double()
        save_file(weights, self.folder / "other.safetensors")
        found = self.compare(latest, self.folder / "other.safetensors", "--json", expect=1)["weights"]
        self.assertEqual((found["tensors_different"], found["elements_different"], found["largest_ulps"]), (1, 1, 1))
        self.assertEqual((found["first"]["tensor"], found["first"]["index"]), ("net.2.bias", [7]))
        self.assertEqual((found["only_in_a"], found["only_in_b"]), (["net.4.bias"], ["more"]))
        self.assertEqual(found["misshapen"], ["net.4.weight is Float[10, 512] in A and Double[10, 512] in B"])

    def test_a_pytorch_script_laid_beside_a_run(self):
        losses, hashes = self.folder / "losses.jsonl", self.folder / "hashes.jsonl"
        pytorch_ddp(2, "--model", "mlp", "--batch-size", 16, "--steps", 6, "--out", self.folder / "w.safetensors", "--losses", losses,
                    "--hashes", hashes)
        self.train("a", 2, *SMALL)
        self.assertIn("losses   equal in 6 steps", self.compare(self.folder / "a", losses, expect=0))
        self.assertIn("hashes   equal in 6 steps", self.compare(self.folder / "a", hashes, expect=0))
        self.assertIn("weights  equal in 6 tensors", self.compare(self.folder / "a", self.folder / "w.safetensors", expect=0))
        self.train("seed", 2, *SMALL, "--seed", 43)
        self.assertIn("the first difference is in step 1, inputs: rank 0",
                      self.compare(self.folder / "seed", hashes, expect=1))

    def test_wrong_uses(self):
        self.train("a", 1, *SMALL)
        (self.folder / "empty").mkdir()
        (self.folder / "log.jsonl").write_text('{"step": 1, "loss": 2.0}\n')
        (self.folder / "broken.safetensors").write_bytes(b"12345678901234567890")
        shutil.copytree(self.folder / "a", self.folder / "damaged", symlinks=True)
        model = newest_checkpoint(self.folder / "damaged") / "model.safetensors"
        model.write_bytes(model.read_bytes()[:-1])
        a = self.folder / "a"
        for b, options, code, part in (
                (self.folder / "nowhere", [], 3, "nowhere is not there"),
                (self.folder / "empty", [], 3, "neither a run folder nor a checkpoint's folder"),
                (self.folder / "broken.safetensors", [], 3, "is no usable safetensors file"),
                (self.folder / "damaged", [], 3, "model.safetensors"),
                (newest_checkpoint(a), ["--step", 5], 3, "--step 5"),
                (a, ["--jsn"], 2, "did you mean --json"),
                (a, ["more"], 2, "belongs to no flag")):
            with self.subTest(b=b, options=options):
                text = self.compare(a, b, *options, expect=code)
                self.assertIn(part, text)
                self.assertEqual(len(text.splitlines()), 1)
        self.assertIn("nothing to compare", self.compare(newest_checkpoint(a), self.folder / "log.jsonl", expect=3))
        self.assertIn("a file or folder is missing", run([BIN / "lockstep", "compare", a]).stderr)
        self.assertIn("--json", run([BIN / "lockstep", "compare", "--help"]).stdout)


if __name__ == "__main__":
    unittest.main(verbosity=2)

"""--logical-world-size: a run's bits depend on it and on nothing else, whatever the number of ranks."""

import json
import os
import unittest

from run import RunTest, command, model_digest, newest_checkpoint, pytorch_ddp, records, run

import torch
from safetensors.torch import load_file

CONVNET = ("--model", "convnet", "--data", "fashion-mnist", "--optimizer", "adamw", "--batch-size", "8", "--log-every-n-steps", "1",
           "--seed", "7")


class LogicalRanksTest(RunTest):
    def losses(self, name):
        return [record["loss"] for record in records(self.folder / name, "train")]

    def test_a_pytorch_run_of_four_ranks_is_replayed_on_two_and_on_one(self):
        losses, weights = self.folder / "losses.jsonl", self.folder / "weights.safetensors"
        pytorch_ddp(4, "--model", "convnet", "--optimizer", "adamw", "--steps", 8, "--batch-size", 8, "--seed", 7, "--out", weights,
                    "--losses", losses)
        expected = load_file(weights)
        for ranks in (2, 1):
            self.train(f"on-{ranks}", ranks, *CONVNET, "--lr", "0.01", "--max-steps", "8", "--logical-world-size", "4",
                       "--reduction-order", "pytorch")
            self.assertEqual(self.losses(f"on-{ranks}"), [json.loads(line)["loss"] for line in losses.read_text().splitlines()])
            actual = load_file(newest_checkpoint(self.folder / f"on-{ranks}") / "model.safetensors")
            self.assertEqual(sorted(actual), sorted(expected))
            for key, tensor in expected.items():
                self.assertTrue(torch.equal(actual[key].view(-1).view(torch.uint8), tensor.view(-1).view(torch.uint8)), key)

    def test_ranks_backends_bucket_caps_and_sharding_make_no_difference(self):
        options = ("--model", "resnet18", "--data", "synthetic", "--synthetic-samples", "64", "--batch-size", "2", "--accumulate-grad-batches", "2",
                   "--max-steps", "2", "--log-every-n-steps", "1", "--logical-world-size", "4", "--gradient-clip-val", "1")
        variants = {"on-4": (4, "--bucket-cap-mb", "1"), "on-2": (2,), "on-2-mpi": (2, "--backend", "mpi", "--bucket-cap-mb", "7"),
                    "on-2-whole": (2, "--shard-optimizer", "off"), "on-1": (1,)}
        for name, (ranks, *more) in variants.items():
            self.train(name, ranks, *options, *more)
            with self.subTest(name=name):
                self.assertEqual(model_digest(self.folder / name), model_digest(self.folder / "on-4"))
                self.assertEqual(self.losses(name), self.losses("on-4"))
                tests = [record["loss"] for record in records(self.folder / name, "eval")]
                self.assertEqual(tests, [record["loss"] for record in records(self.folder / "on-4", "eval")])
                self.assertEqual(records(self.folder / name, "start")[0]["logical_world_size"], 4)

    def test_the_number_of_ranks_may_change_on_the_way(self):
        options = (*CONVNET, "--logical-world-size", "4")
        self.train("whole", 1, *options, "--max-steps", "9")
        for ranks, steps in ((4, 3), (2, 6), (1, 9)):
            self.train("moved", ranks, *options, "--max-steps", steps)
        self.assertEqual(model_digest(self.folder / "moved"), model_digest(self.folder / "whole"))
        self.assertEqual(self.losses("moved"), self.losses("whole"))
        # A run that never named a logical world size has that of its ranks.
        self.train("plain", 2, *CONVNET, "--max-steps", "3")
        self.train("plain", 1, *CONVNET, "--max-steps", "6", "--logical-world-size", "2", "--reduction-order", "pytorch")
        self.train("two", 2, *CONVNET, "--max-steps", "6")
        self.assertEqual(model_digest(self.folder / "plain"), model_digest(self.folder / "two"))

    def test_another_number_of_threads_is_warned_about(self):
        self.train("run", 1, *CONVNET, "--logical-world-size", "2", "--max-steps", "1")
        arguments = command(self.folder / "run", 1, *CONVNET, "--logical-world-size", "2", "--max-steps", "2")
        arguments[arguments.index("--num-threads") + 1] = "2"
        result = run(arguments)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("num threads was 1, is 2", result.stderr)

    def test_bad_combinations_are_refused(self):
        for ranks, options, message in (
                (2, ("--logical-world-size", "3"), "--logical-world-size 3 cannot be shared by 2 ranks; start 1, 3"),
                (1, ("--logical-world-size", "2", "--reduction-order", "fast"), "the fastest order depends on the number of ranks"),
                (1, ("--logical-world-size", "2", "--sync-batchnorm"), "cannot normalise together"),
                (1, ("--logical-world-size", "2", "--comm-hook", "fp16"), "needs a rank for each of the 2 logical ranks"),
                (1, ("--logical-world-size", "-1"), "logical-world-size")):
            with self.subTest(options=options):
                result = self.train("bad", ranks, "--model", "mlp", "--data", "synthetic", "--max-steps", "1", *options, expect=2)
                self.assertIn(message, result.stderr)
                self.assertEqual(result.stderr.count(message), 1)


if __name__ == "__main__":
    unittest.main(verbosity=2)

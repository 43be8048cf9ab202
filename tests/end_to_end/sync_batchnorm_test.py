"""--sync-batchnorm: two ranks with half the batch each are one rank with the whole batch, but for rounding."""

import unittest

from run import RunTest, command, model_digest, newest_checkpoint, records, run

from safetensors.torch import load_file

# Unshuffled, rank r of 2 takes every second sample, so its batches are the halves of one rank's batches.
OPTIONS = ["--model", "resnet18", "--data", "synthetic", "--synthetic-samples", "48", "--shuffle=false", "--max-steps", "3",
           "--log-every-n-steps", "1", "--lr", "0.001"]


class SyncBatchNormTest(RunTest):
    def losses(self, name, ranks, *options):
        self.train(name, ranks, *OPTIONS, *options)
        return [record["loss"] for record in records(self.folder / name, "train")]

    def test_two_ranks_are_one(self):
        whole = self.losses("whole", 1, "--batch-size", "8")
        halves = self.losses("halves", 2, "--batch-size", "4", "--sync-batchnorm")
        alone = self.losses("alone", 2, "--batch-size", "4")
        # Float32 rounding through 20 layers, grown by three steps; statistics of half the batch are another matter.
        for step, (expected, actual) in enumerate(zip(whole, halves, strict=True)):
            self.assertAlmostEqual(expected, actual, delta=2e-3 * (step + 1))
        self.assertGreater(abs(whole[0] - alone[0]), 1e-2)
        expected, actual = (load_file(newest_checkpoint(self.folder / name) / "model.safetensors") for name in ("whole", "halves"))
        self.assertEqual(sorted(expected), sorted(actual))  # checkpoints are interchangeable
        self.assertLess((expected["bn1.running_var"] - actual["bn1.running_var"]).abs().max().item(), 1e-3)

    def test_a_run_goes_on_with_it_only(self):
        self.losses("run", 2, "--batch-size", "4", "--sync-batchnorm")
        result = run(command(self.folder / "run", 2, *OPTIONS, "--batch-size", "4"))
        self.assertEqual(result.returncode, 3)
        self.assertIn("sync batchnorm was true, is false", result.stderr)

    def test_groups(self):
        """Of all ranks: the bits of no groups. Of one: those of none synchronised. Of two: neither."""
        digests = {}
        for name, options in (("all", []), ("four", [4]), ("two", [2]), ("one", [1])):
            size = ["--sync-batchnorm-group-size", *options] if options else []
            result = self.train(name, 4, *OPTIONS, "--batch-size", "2", "--sync-batchnorm", *size)
            digests[name] = model_digest(self.folder / name)
            groups = 4 // options[0] if options else 1
            said = f"{groups} groups of ranks, each for itself" if groups > 1 else "all 4 ranks"
            self.assertIn(f"20 batch norms use the batches of {said}\n", result.stdout)
        self.train("none", 4, *OPTIONS, "--batch-size", "2")
        self.assertEqual(digests["all"], digests["four"])
        self.assertEqual(digests["one"], model_digest(self.folder / "none"))
        self.assertEqual(len(set(digests.values())), 3)
        sent = {name: records(self.folder / name, "train")[-1]["bytes_sent"] for name in ("two", "none")}
        self.assertGreater(sent["two"], sent["none"])
        result = run(command(self.folder / "two", 4, *OPTIONS, "--batch-size", "2", "--sync-batchnorm"))
        self.assertEqual(result.returncode, 3)
        self.assertIn("sync batchnorm was in groups of 2, is true", result.stderr)
        for size, more, text in (("3", ["--sync-batchnorm"], "--sync-batchnorm-group-size 3: 4 ranks are no whole number of such groups"),
                                 ("2", [], "--sync-batchnorm-group-size without --sync-batchnorm")):
            result = run(command(self.folder / "refused", 4, *OPTIONS, "--batch-size", "2", "--sync-batchnorm-group-size", size, *more))
            self.assertEqual(result.returncode, 2, result.stderr)
            self.assertIn(text, result.stderr)

    def test_a_model_without_batch_norm_is_refused(self):
        options = [option if option != "resnet18" else "mlp" for option in OPTIONS]
        result = run(command(self.folder / "mlp", 2, *options, "--batch-size", "4", "--sync-batchnorm"))
        self.assertEqual(result.returncode, 2)
        self.assertIn("--sync-batchnorm: model mlp has no batch norm", result.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)

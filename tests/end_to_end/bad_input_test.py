"""Every wrong input ends all ranks with exit code 2 or 3 and one line that says what would be right."""

import gzip
import os
import pathlib
import shutil
import unittest

from run import BIN, FASHION_MNIST, RunTest, command, model_digest, run

QUICK = ["--model", "mlp", "--data", "synthetic", "--synthetic-samples", "64", "--batch-size", "8", "--max-steps", "2"]


class RefusingTest(RunTest):
    def refused(self, code, *texts, options=(), ranks=2, run_dir=None):
        """Runs with `options`; expects `code`, and one error line that holds all of `texts`."""
        result = run(command(run_dir or self.folder / "run", ranks, *options))
        self.assertEqual(result.returncode, code, result.stdout + result.stderr)
        lines = [line for line in result.stderr.splitlines() if line.strip()]
        self.assertEqual(len(lines), 1, result.stderr)
        for text in texts:
            self.assertIn(text, lines[0])
        return lines[0]


class BadInputTest(RefusingTest):
    def test_options(self):
        for options, texts in [
            (["--modle", "mlp"], ["--modle", "--model"]),
            ([*QUICK, "--seed", "1", "--seed", "2"], ["--seed", "twice"]),
            ([*QUICK[:-2], "--max-steps", "12x"], ["12x"]),
            (["--batch-size", "0"], ["--batch-size", "0"]),
            (["--lr", "-0.1"], ["--lr", "-0.1"]),
            (["--lr", "nan"], ["--lr", "nan"]),
            (["--precision", "16-true"], ["16-true", "16-mixed"]),
            (["--resume", "--fresh"], ["--resume", "--fresh"]),
        ]:
            with self.subTest(options=options):
                self.refused(2, *texts, options=options)
        self.assertFalse((self.folder / "run" / "checkpoints").exists())

    def test_unknown_names(self):
        self.refused(2, "resnet19", "resnet18", options=["--model", "resnet19", "--data", "synthetic"])
        self.refused(2, "fashion-mnits", "fashion-mnist", options=["--model", "mlp", "--data", "fashion-mnits"])

    def test_device_and_backend(self):
        environment_has_gpu = os.path.exists("/dev/nvidia0")
        if not environment_has_gpu:
            self.refused_with_cuda()
        self.refused(2, "nccl", "--device cpu", options=[*QUICK, "--backend", "nccl"])

    def refused_with_cuda(self):
        arguments = [argument if argument != "cpu" else "cuda" for argument in map(str, command(self.folder / "run", 2, *QUICK))]
        result = run(arguments)
        self.assertEqual(result.returncode, 2, result.stderr)
        self.assertIn("no GPU", result.stderr)

    def test_more_ranks_than_samples(self):
        few = ["--model", "mlp", "--data", "synthetic", "--synthetic-samples", "2", "--batch-size", "1", "--max-steps", "1"]
        self.refused(2, "drop", options=[*few, "--drop-last"], ranks=3)
        self.train("wrapped", 3, *few)  # otherwise PyTorch's way: samples are repeated

    def test_resume_without_and_with_another_run(self):
        self.refused(3, "--resume", "no checkpoint", options=[*QUICK, "--resume"])
        self.train("run2", 2, *QUICK)
        digest = model_digest(self.folder / "run2")
        other = [option if option != "mlp" else "convnet" for option in QUICK]
        self.refused(3, "model was mlp, is convnet", "--fresh", options=other, run_dir=self.folder / "run2")
        self.refused(3, "ranks was 2, is 3", options=QUICK, run_dir=self.folder / "run2", ranks=3)
        self.assertEqual(model_digest(self.folder / "run2"), digest)

    def test_a_run_folder_that_cannot_be_written(self):
        (self.folder / "file").write_text("in the way")
        self.refused(3, str(self.folder / "file"), options=QUICK, run_dir=self.folder / "file" / "run")

    def test_options_that_differ_between_ranks(self):
        common = [BIN / "lockstep-train", "--run-dir", self.folder / "run", "--device", "cpu", "--num-threads", "1", *QUICK]
        result = run(["mpirun", "-n", "1", *common, "--lr", "0.1", ":", "-n", "1", *common, "--lr", "0.2"])
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("rank 1 has --lr 0.2, rank 0 has 0.1", result.stderr)

    def test_a_loss_that_is_not_finite_stops_all_ranks_and_keeps_the_checkpoint(self):
        options = [*QUICK[:-4], "--batch-size", "8", "--optimizer", "sgd"]
        self.train("run", 2, *options, "--max-steps", "1")
        digest = model_digest(self.folder / "run")
        result = run(command(self.folder / "run", 2, *options, "--lr", "1e30", "--max-steps", "50", "--max-epochs", "50"))
        self.assertEqual(result.returncode, 3, result.stdout + result.stderr)
        self.assertRegex(result.stderr, r"the loss is not finite at step \d+, rank \d")
        self.assertEqual(model_digest(self.folder / "run"), digest)


class BadDataTest(RefusingTest):
    def setUp(self):
        super().setUp()
        self.data = self.folder / "data"
        shutil.copytree(FASHION_MNIST, self.data)

    def refused_data(self, *texts):
        return self.refused(3, *texts, options=["--model", "mlp", "--data", self.data, "--max-steps", "1"])

    def rewrite(self, name, change):
        path = self.data / name
        path.write_bytes(change(path.read_bytes()))

    def test_missing_file(self):
        (self.data / "t10k-labels-idx1-ubyte.gz").unlink()
        self.refused_data("t10k-labels-idx1-ubyte")

    def test_truncated_file(self):
        self.rewrite("train-images-idx3-ubyte.gz", lambda b: gzip.compress(gzip.decompress(b)[:-1], compresslevel=1))
        self.refused_data("train-images-idx3-ubyte")

    def test_gzip_damage(self):
        self.rewrite("train-labels-idx1-ubyte.gz", lambda b: b[:1000] + bytes([b[1000] ^ 0xFF]) + b[1001:])
        self.refused_data("train-labels-idx1-ubyte")

    def test_labels_and_images_that_disagree(self):
        def shorten(compressed):
            content = gzip.decompress(compressed)
            return gzip.compress(content[:4] + (59999).to_bytes(4, "big") + content[8:-1], compresslevel=1)

        self.rewrite("train-labels-idx1-ubyte.gz", shorten)
        self.refused_data("59999", "60000")


if __name__ == "__main__":
    unittest.main(verbosity=2)

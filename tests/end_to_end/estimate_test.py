"""lockstep estimate beside what runs really take: the peak of their resident memory."""

import json
import unittest

from run import BIN, RunTest, records, run


def estimate(*options):
    result = run([BIN / "lockstep", "estimate", "--json", "--num-threads", "1", *options])
    if result.returncode != 0:
        raise AssertionError(result.stderr)
    return json.loads(result.stdout)


class PeakTest(RunTest):
    def check_peak(self, model, data, batch, optimizer):
        options = ["--model", model, "--data", data, "--batch-size", str(batch), "--optimizer", optimizer,
                   "--synthetic-samples", "256"]
        predicted = estimate(*options)["memory_bytes"]["on_this_cpu"]
        self.train(f"{model}-{optimizer}", 1, *options, "--max-steps", "4")
        (end,) = records(self.folder / f"{model}-{optimizer}", "end")
        measured = end["peak_resident_bytes"]
        print(f"{model} {optimizer}: predicted {predicted / 2**20:.0f} MiB, measured {measured / 2**20:.0f} MiB")
        self.assertLess(abs(predicted - measured), 0.1 * measured)


class EstimateTest(PeakTest):
    def test_peak_of_a_small_and_a_large_model(self):
        self.check_peak("mlp", "fashion-mnist", 64, "sgd")
        self.check_peak("resnet18", "synthetic", 64, "adamw")

    def test_refuses_what_train_refuses(self):
        for options, code in [(["--model", "no-such"], 2), (["--data", "/no/such"], 2), (["--efficiency", "2"], 2),
                              (["--lr", "0"], 2)]:
            result = run([BIN / "lockstep", "estimate", *options])
            self.assertEqual((result.returncode, result.stderr.count("\n")), (code, 1), result.stderr)


class FullEstimateTest(PeakTest):
    """With the whole matrix, for `ctest -L parity`."""

    def test_peak_of_all(self):
        for model, data, batch in [("mlp", "fashion-mnist", 64), ("resnet18", "synthetic", 64),
                                   ("gpt2-mini", "synthetic-tokens", 8)]:
            for optimizer in ["sgd", "adamw"]:
                with self.subTest(model=model, optimizer=optimizer):
                    self.check_peak(model, data, batch, optimizer)

    # What people train it with: 32 on 16 GB, 128 on 40 GB, with 128 tokens.
    def test_bert_base(self):
        for batch, gpu in [(32, "V100"), (128, "A100")]:
            offers = estimate("--model", "bert-base", "--data", "synthetic-tokens", "--sequence-length", "128",
                              "--vocab-size", "30522", "--optimizer", "adamw", "--batch-size", str(batch))["offers"]
            self.assertTrue(all(offer["fits"] for offer in offers if offer["gpu"] == gpu), offers)


if __name__ == "__main__":
    unittest.main(defaultTest="EstimateTest")

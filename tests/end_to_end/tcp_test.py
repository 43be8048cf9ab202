"""--backend tcp: ranks that find each other as torchrun's do, and what the others say when one dies, stops or is lost."""

import os
import signal
import subprocess
import time
import unittest

from run import BIN, RunTest, model_digest, own_port

RANKS = 3
COMMON = ["--device", "cpu", "--num-threads", "1", "--data", "synthetic"]
LONG = ["--synthetic-samples", "200000", "--max-epochs", "1000", "--log-every-n-steps", "1"]


class TcpTest(RunTest):
    def start(self, backend, *options, run_dir=None):
        """One process for each rank, with the variables that torchrun sets."""
        model = [] if "--model" in options else ["--model", "mlp"]
        ranks = []
        for rank in range(RANKS):
            environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMPI_COMM", "PMIX", "PMI_"))}
            environment.update(RANK=str(rank), WORLD_SIZE=str(RANKS), LOCAL_RANK=str(rank), LOCAL_WORLD_SIZE=str(RANKS),
                               MASTER_ADDR="127.0.0.1", MASTER_PORT=str(own_port()))
            ranks.append(subprocess.Popen([str(BIN / "lockstep-train"), "--backend", backend, "--run-dir", str(self.folder / (run_dir or backend)), *COMMON, *model, *options],
                                          env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
            self.addCleanup(self.end, ranks[-1])
        return ranks

    @staticmethod
    def end(rank):
        rank.kill()
        rank.communicate()

    def wait_for_steps(self):
        metrics = self.folder / "tcp" / "metrics.jsonl"
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if metrics.exists() and metrics.read_text().count('"kind":"train"') >= 3:
                return
            time.sleep(0.1)
        self.fail("no steps within 60 s")

    def outputs(self, ranks):
        texts = [rank.communicate(timeout=60)[0] for rank in ranks]
        return texts, [rank.returncode for rank in ranks]

    def test_its_bits_are_gloos(self):
        digests = set()
        for backend in ("tcp", "gloo"):
            texts, codes = self.outputs(self.start(backend, "--synthetic-samples", "600", "--max-steps", "5"))
            self.assertEqual(codes, [0] * RANKS, texts)
            self.assertIn(f"backend {backend} ", texts[0])
            digests.add(model_digest(self.folder / backend))
        self.assertEqual(len(digests), 1)

    def test_parameters_travel_under_the_forward_pass(self):
        """A model with BatchNorm, whose buffers are broadcast in between; evaluated, saved and gone on with on the way."""
        model = ["--model", "resnet18", "--synthetic-samples", "36", "--batch-size", "4", "--momentum", "0.9", "--gradient-clip-val", "1"]
        digests = {}
        for name, options in {"whole": ["--shard-optimizer", "off"],
                              "overlapped": ["--shard-optimizer", "on", "--overlap-param-gather", "on"],
                              "waiting": ["--shard-optimizer", "on", "--overlap-param-gather", "off"]}.items():
            for steps in ("2", "5"):
                texts, codes = self.outputs(self.start("tcp", *model, *options, "--max-steps", steps, run_dir=name))
                self.assertEqual(codes, [0] * RANKS, texts)
            self.assertEqual("travel under the next forward pass" in texts[0], name == "overlapped", texts[0])
            digests[name] = model_digest(self.folder / name)
        self.assertEqual(len(set(digests.values())), 1, digests)

    def test_nothing_is_gathered_without_a_sharded_update(self):
        texts, codes = self.outputs(self.start("tcp", "--overlap-param-gather", "on", "--max-steps", "1"))
        self.assertEqual(codes, [2] * RANKS, texts)
        self.assertIn("--overlap-param-gather on: no parameters are gathered here", "".join(texts))

    def test_a_killed_rank_is_named_at_once(self):
        ranks = self.start("tcp", *LONG)
        self.wait_for_steps()
        ranks[2].send_signal(signal.SIGKILL)
        begin = time.monotonic()
        texts, codes = self.outputs(ranks)
        self.assertEqual(codes, [11, 11, -signal.SIGKILL], texts)
        self.assertLess(time.monotonic() - begin, 20)
        self.assertRegex("".join(texts[:2]), r"rank \d, which is in \w+ #\d+.*: rank 2 is gone")

    def test_a_stopped_rank_is_missing(self):
        ranks = self.start("tcp", *LONG, "--timeout", "8")
        self.wait_for_steps()
        ranks[1].send_signal(signal.SIGSTOP)
        texts, codes = self.outputs([ranks[0], ranks[2]])
        self.assertEqual(codes, [11, 11], texts)
        self.assertRegex("".join(texts), r"timed out after 8 s, waiting for rank 1, which does not answer; rank [02] is in \w+ #\d+")


if __name__ == "__main__":
    unittest.main()

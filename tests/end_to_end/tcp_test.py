"""--backend tcp: ranks that find each other as torchrun's do, and what the others say when one dies, stops or is lost."""

import os
import signal
import subprocess
import time
import unittest

from run import BIN, RunTest, model_digest

RANKS = 3
MODEL = ["--device", "cpu", "--num-threads", "1", "--model", "mlp", "--data", "synthetic"]
LONG = ["--synthetic-samples", "200000", "--max-epochs", "1000", "--log-every-n-steps", "1"]


class TcpTest(RunTest):
    def start(self, backend, *options):
        """One process for each rank, with the variables that torchrun sets."""
        port = str(20000 + os.getpid() % 20000)
        ranks = []
        for rank in range(RANKS):
            environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMPI_COMM", "PMIX", "PMI_"))}
            environment.update(RANK=str(rank), WORLD_SIZE=str(RANKS), LOCAL_RANK=str(rank), LOCAL_WORLD_SIZE=str(RANKS),
                               MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
            ranks.append(subprocess.Popen([str(BIN / "lockstep-train"), "--backend", backend, "--run-dir", str(self.folder / backend), *MODEL, *options],
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
        ranks = self.start("tcp", *LONG, "--timeout", "4")
        self.wait_for_steps()
        ranks[1].send_signal(signal.SIGSTOP)
        texts, codes = self.outputs([ranks[0], ranks[2]])
        self.assertEqual(codes, [11, 11], texts)
        self.assertRegex("".join(texts), r"timed out after 4 s, waiting for rank 1, which does not answer; rank [02] is in \w+ #\d+")


if __name__ == "__main__":
    unittest.main()

"""report.html, TensorBoard's files and Prometheus' endpoint, as a real run leaves and serves them."""

import json
import re
import socket
import subprocess
import time
import unittest
import urllib.request

from run import BIN, RunTest, command, run

OPTIONS = ["--model", "mlp", "--data", "synthetic", "--synthetic-samples", "512", "--batch-size", "32", "--log-every-n-steps", "2",
           "--price-per-gpu-hour", "1.5"]


def data_of(page):
    return json.loads(re.search(r'id="data">(.*?)</script>', page.read_text(), re.DOTALL)[1])


class ReportTest(RunTest):
    def test_a_run_draws_itself_and_shows_its_scalars(self):
        self.train("seen", 2, *OPTIONS, "--max-epochs", "1", "--tensorboard")
        seen = data_of(self.folder / "seen" / "report.html")
        self.assertEqual(seen["command"], f"lockstep report {self.folder}/seen")
        (one,) = seen["runs"]
        self.assertEqual(one["train"]["step"], [2, 4, 6, 8])
        self.assertEqual([end["end_reason"] for end in one["attempts"]], ["finished"])
        self.assertEqual(len(one["eval"]["accuracy"]), 1)
        self.assertIn(["model", "'mlp'"], one["options"])
        # Its parts are those of the bill as the ranks closed it; the launcher's own last record comes after the report.
        closed = next(r for r in map(json.loads, (self.folder / "seen" / "ledger.jsonl").read_text().splitlines()) if r["closed"])
        self.assertEqual([part["name"] for part in one["parts"]], list(closed["parts_s"]))
        for part in one["parts"]:
            self.assertAlmostEqual(part["seconds"], closed["parts_s"][part["name"]], delta=1e-6 * closed["running_s"])
        self.assertAlmostEqual(sum(part["seconds"] for part in one["parts"]), closed["running_s"], delta=1e-5 * closed["running_s"])
        self.assertGreaterEqual(closed["running_s"], one["attempts"][0]["running_s"])  # metrics.jsonl is written to its end before
        (events,) = (self.folder / "seen" / "tensorboard").iterdir()
        self.assertIn(b"brain.Event:2", events.read_bytes())
        self.assertIn(b"accuracy/test", events.read_bytes())

        self.train("quiet", 1, *OPTIONS, "--max-steps", "2", "--no-report")
        self.assertFalse((self.folder / "quiet" / "report.html").exists())
        self.assertFalse((self.folder / "quiet" / "tensorboard").exists())
        both = self.folder / "both.html"
        result = run([BIN / "lockstep", "report", self.folder / "seen", self.folder / "quiet", "--output", both])
        self.assertEqual((result.returncode, result.stdout), (0, f"{both}\n"), result.stderr)
        self.assertEqual(len(data_of(both)["runs"]), 2)

    # A folder where the file should be: training is none the worse.
    def test_a_report_that_cannot_be_written_is_a_warning(self):
        (self.folder / "blocked" / "report.html" / "full").mkdir(parents=True)
        result = self.train("blocked", 1, *OPTIONS, "--max-steps", "2")
        self.assertEqual(result.stderr.count("no report was written"), 1, result.stderr)

    def test_prometheus_is_answered_while_it_trains(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            result = run(command(self.folder / "taken", 1, *OPTIONS, "--metrics-port", port))
            self.assertEqual(result.returncode, 2, result.stderr)
            self.assertIn(f"--metrics-port {port}", result.stderr)
        process = subprocess.Popen(list(map(str, command(self.folder / "live", 2, *OPTIONS, "--max-epochs", "100000", "--metrics-port",
                                                         port))), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + 60
            scraped = ""
            while "lockstep_test_accuracy" not in scraped and time.monotonic() < deadline:
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
                        scraped = answer.read().decode()
                except OSError:
                    pass
                time.sleep(0.1)
        finally:
            process.terminate()
            code = process.wait(60)
        self.assertEqual(code, 10)  # paused
        self.assertRegex(scraped, r"\nlockstep_step [1-9][0-9]*\n")
        self.assertIn("\nlockstep_world_size 2\n", scraped)
        self.assertRegex(scraped, r'\nlockstep_spend\{currency="USD"\} [0-9.e-]+\n')


if __name__ == "__main__":
    unittest.main()

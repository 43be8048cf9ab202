"""A real Prometheus server scrapes a run, and is asked for what it has."""

import json
import socket
import subprocess
import unittest
import urllib.parse
import urllib.request

from resume_test import wait_for
from run import RunTest, command

OPTIONS = ["--model", "mlp", "--data", "synthetic", "--synthetic-samples", "512", "--batch-size", "32", "--max-epochs", "100000",
           "--price-per-gpu-hour", "1.5"]


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


class PrometheusTest(RunTest):
    def start(self, *arguments):
        process = subprocess.Popen(list(map(str, arguments)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.terminate)
        return process

    def test_it_is_scraped_by_a_real_server(self):
        metrics, server = free_port(), free_port()
        (self.folder / "prometheus.yml").write_text(
            "global: {scrape_interval: 5s, scrape_timeout: 5s}\n"
            f"scrape_configs: [{{job_name: lockstep, static_configs: [{{targets: ['127.0.0.1:{metrics}']}}]}}]\n")
        self.start("prometheus", f"--config.file={self.folder}/prometheus.yml", f"--storage.tsdb.path={self.folder}/tsdb",
                   f"--web.listen-address=127.0.0.1:{server}")
        run = self.start(*command(self.folder / "run", 2, *OPTIONS, "--metrics-port", metrics))

        def ask_once(query):
            url = f"http://127.0.0.1:{server}/api/v1/query?" + urllib.parse.urlencode({"query": query})
            try:
                answer = json.load(urllib.request.urlopen(url, timeout=5))
            except OSError:  # it has only just started
                return []
            self.assertEqual(answer["status"], "success")
            return [(one["metric"], float(one["value"][1])) for one in answer["data"]["result"]]

        def ask(query):
            """What has a value, once something has: there is nothing after a scrape that took too long."""
            return wait_for(lambda: [(labels, value) for labels, value in ask_once(query) if value > 0])

        labels, _ = ask("lockstep_step")[0]
        self.assertEqual((labels["job"], labels["instance"]), ("lockstep", f"127.0.0.1:{metrics}"))
        self.assertEqual([value for _, value in ask("lockstep_world_size")], [2])
        self.assertEqual([labels["currency"] for labels, _ in ask("lockstep_spend")], ["USD"])
        ask("sum(lockstep_step_seconds_total)")
        run.terminate()
        self.assertEqual(run.wait(60), 10)


if __name__ == "__main__":
    unittest.main(verbosity=2)

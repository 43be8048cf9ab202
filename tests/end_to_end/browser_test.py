"""The pages of a run and of a scaling study in headless Chromium: they are drawn, on a wide and a narrow window, and say nothing to
the console. Their content security policy allows no request, so one would be an error there."""

import re
import shutil
import unittest

from run import BIN, RunTest, run

CHROMIUM = shutil.which("chromium")
# The window's width and that of what is in it, and how much was drawn, into the dumped document.
PROBE = """<script>addEventListener("load", () => setTimeout(() => {
  const page = document.documentElement;
  page.dataset.seen = [innerWidth, page.scrollWidth, document.querySelectorAll("canvas").length].join(" ");
}, 200));</script>"""


class BrowserTest(RunTest):
    def look(self, page):
        for width in (500, 1600):
            with self.subTest(page=page.name, width=width):
                copy = self.folder / f"{width}-{page.name}"
                copy.write_text(page.read_text().replace("</body>", PROBE + "</body>"))
                result = run([CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", f"--user-data-dir={self.folder}/profile",
                              f"--window-size={width},900", "--virtual-time-budget=3000", "--dump-dom", copy.as_uri()])
                self.assertEqual(result.returncode, 0, result.stderr)
                self.assertEqual([line for line in result.stderr.splitlines() if "CONSOLE" in line], [])
                seen = re.search(r'data-seen="(\d+) (\d+) (\d+)"', result.stdout)
                self.assertTrue(seen, result.stdout[:500])
                window, content, charts = map(int, seen.groups())
                self.assertEqual(window, width)
                self.assertLessEqual(content, window)
                self.assertGreaterEqual(charts, 2)

    def test_a_runs_report(self):
        self.train("seen", 2, "--model", "mlp", "--data", "synthetic", "--synthetic-samples", "512", "--batch-size", "32", "--log-every-n-steps", "2",
                   "--price-per-gpu-hour", "1.5", "--max-epochs", "2")
        self.look(self.folder / "seen" / "report.html")

    def test_a_studys_report(self):
        result = run([BIN / "lockstep", "bench", "scaling", "--output", self.folder / "study", "--links", "shared-memory", "--ranks", "1,2", "--model",
                      "mlp", "--rounds", "1", "--iters", "2", "--max-bytes", "1M", "--max-ranks", "64", "--price-per-gpu-hour", "3.6"])
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.look(self.folder / "study" / "scaling.html")


if __name__ == "__main__":
    unittest.main(verbosity=2)

"""A disk that is really full, and one that is really read-only: a tmpfs of its own, which takes root."""

import contextlib
import errno
import subprocess
import time
import unittest

from checkpoint_test import ENDLESS
from resume_test import wait_for
from run import RunTest, command, model_digest, newest_checkpoint, run

OPTIONS = [*ENDLESS, "--keep-checkpoints", "1", "--checkpoint-retries", "1"]


def mount(*arguments):
    subprocess.run(["mount", *map(str, arguments)], check=True)


class DiskTest(RunTest):
    def setUp(self):
        super().setUp()
        self.disk = self.folder / "disk"
        self.disk.mkdir()
        mount("-t", "tmpfs", "-o", "size=40m", "tmpfs", self.disk)
        self.addCleanup(subprocess.run, ["umount", "-l", self.disk], check=True)

    def fill(self):
        """To the last byte."""
        with open(self.disk / "filler", "ab", buffering=0) as filler:
            for size in (1 << 20, 1 << 12, 1):
                try:
                    while True:
                        filler.write(bytes(size))
                except OSError as error:
                    self.assertEqual(error.errno, errno.ENOSPC)

    def test_a_full_disk_ends_the_run_resumably_and_a_read_only_one_is_refused(self):
        run_dir = self.disk / "run"
        process = subprocess.Popen(list(map(str, command(run_dir, 2, *OPTIONS))), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   text=True, stdin=subprocess.DEVNULL)
        self.addCleanup(lambda: process.poll() is None and process.kill())
        wait_for(lambda: (run_dir / "checkpoints" / "latest").exists())
        output, end = None, time.monotonic() + 120
        while output is None:  # a checkpoint that gives way to the next leaves room
            self.assertLess(time.monotonic(), end, "the run goes on although the disk is full")
            self.fill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                output, _ = process.communicate(timeout=0.05)
        self.assertEqual(process.returncode, 11, output)
        self.assertRegex(output, r"step_\d+.*No space left on device")
        step, digest = int(newest_checkpoint(run_dir).name[5:]), model_digest(run_dir)

        mount("-o", "remount,ro", self.disk)
        result = run(command(run_dir, 2, *OPTIONS))
        self.assertEqual(result.returncode, 3, result.stdout + result.stderr)
        self.assertIn("Read-only file system", result.stderr)
        self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
        self.assertEqual(model_digest(run_dir), digest)

        mount("-o", "remount,rw", self.disk)
        (self.disk / "filler").unlink()
        result = self.train("disk/run", 2, *OPTIONS, "--max-steps", step + 3)
        self.assertIn(f"continues after step {step}", result.stdout)


if __name__ == "__main__":
    unittest.main(verbosity=2)

"""scripts/gpu-check without a GPU, and with one that is made up: programs of ours in the places of nvidia-smi, ctest and lockstep."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

GPU_CHECK = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "gpu-check"

# Answers as `lockstep bench` does; a bench of two ranks through the host fails.
LOCKSTEP = """#!/bin/sh
echo "$@" >>"$CALLS"
case "$*" in *"--backend mpi"*resnet50*) echo 'lockstep: error: no pinned memory' >&2; exit 11 ;; esac
while [ $# -gt 1 ]; do shift; done
case "$(tail -n 1 "$CALLS")" in
  *"bench step"*) cat >"$1" <<'J'
{"benchmark": "step", "versions": {"NCCL": "2.28.9"}, "workloads": [{"contenders": [
 {"contender": "local", "step_ms": {"median": 10.0}, "samples_per_s": 1600.0, "peak_share": 0.5},
 {"contender": "averaged", "step_ms": {"median": 10.5}, "samples_per_s": 1523.8, "peak_share": 0.476},
 {"contender": "captured", "step_ms": {"median": 8.0}, "samples_per_s": 2000.0, "peak_share": 0.625},
 {"contender": "pytorch local", "step_ms": {"median": 12.0}, "samples_per_s": 1333.3},
 {"contender": "pytorch ddp", "step_ms": {"median": 12.6}, "samples_per_s": 1269.8},
 {"contender": "pytorch compiled", "step_ms": {"median": 9.45}, "samples_per_s": 1693.1}]}]}
J
  ;;
  *) echo '{"benchmark": "all-reduce", "versions": {}, "rows": [{"size_bytes": 4096, "time_us": {"median": 8.25},
     "busbw_gb_per_s": 0.5, "wrong": 0}]}' >"$1" ;;
esac
"""
CTEST = """#!/bin/sh
echo "ctest $@" >>"$CALLS"
echo '67% tests passed, 1 tests failed out of 3'
printf 'The following tests FAILED:\\n\\t  2 - comm_cuda_communicator_test.n2 (Failed)\\n'
exit 8
"""


class GpuCheckTest(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        (self.folder / "build" / "bin").mkdir(parents=True)

    def program(self, place, text):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        place.chmod(0o755)

    def check(self, *options):
        environment = {"PATH": f"{self.folder / 'path'}:/usr/bin:/bin", "CALLS": str(self.folder / "calls"), "HOME": os.environ.get("HOME", "/")}
        return subprocess.run([sys.executable, GPU_CHECK, "--build", self.folder / "build", "--out", self.folder / "out", *options],
                              env=environment, capture_output=True, text=True, timeout=60)

    def test_without_a_gpu_it_says_so_in_one_line(self):
        self.program(self.folder / "path" / "nvidia-smi", "#!/bin/sh\necho 'has failed because it could not communicate'\nexit 9\n")
        done = self.check()
        self.assertEqual(done.returncode, 3, done)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        self.assertIn("no GPU here", done.stderr)
        self.assertEqual(done.stdout, "")
        self.assertFalse((self.folder / "out").exists())

    def test_wrong_options_are_refused(self):
        self.assertEqual(self.check("--fast").returncode, 2)
        done = self.check("--nccl-library", self.folder / "none.so")
        self.assertEqual(done.returncode, 2)
        self.assertIn("none.so is not there", done.stderr)

    def test_writes_what_it_found(self):
        self.program(self.folder / "path" / "nvidia-smi", "#!/bin/sh\necho 'NVIDIA H200, 580.65.06'\n")
        self.program(self.folder / "path" / "ctest", CTEST)
        self.program(self.folder / "build" / "bin" / "lockstep", LOCKSTEP)
        done = self.check("--quick")
        self.assertEqual(done.returncode, 1, done)  # a test failed, and a bench
        report = json.loads((self.folder / "out" / "nvidia-h200.json").read_text())
        self.assertEqual((report["gpu"], report["driver"]), ("NVIDIA H200", "580.65.06"))
        tests = report["tests"]["as they are"]
        self.assertEqual((tests["passed"], tests["failed"], tests["failures"]), (2, 1, ["comm_cuda_communicator_test.n2"]))
        self.assertEqual([entry["ok"] for entry in report["benches"]], [True] * 5 + [False])
        self.assertEqual(report["benches"][-1]["error"], "lockstep: error: no pinned memory")
        self.assertEqual(report["versions"], {"NCCL": "2.28.9"})

        text = (self.folder / "out" / "nvidia-h200.txt").read_text()
        self.assertIn("NVIDIA H200, driver 580.65.06", text)
        row = next(line.split("  ") for line in text.splitlines() if " averaged " in line)
        cells = [cell.strip() for cell in row if cell.strip()]
        # 10 / 10.5, 12.6 / 10.5 and 9.45 / 10.5
        self.assertEqual(cells[1:], ["averaged", "10.500 ms", "1523.8 samples/s", "0.952", "1.200", "0.900", "47.6 %"])
        captured = next(line for line in text.splitlines() if " captured " in line)
        self.assertRegex(captured, r"8\.000 ms +2000\.0 samples/s +1\.250 +1\.575 +1\.181 +62\.5 %")  # 10, 12.6 and 9.45 / 8
        self.assertRegex(text, r"all-reduce, one rank +4096 +8.2 us +0.50 +0")
        self.assertIn("failed: resnet50, two ranks through the host: exit code 11", text)
        self.assertIn("left out: two ranks on one GPU through NCCL", text)
        calls = (self.folder / "calls").read_text().splitlines()
        self.assertIn("-LE ^two_gpus$", calls[0])
        self.assertNotIn("--share-gpus", "".join(calls))

    def test_two_ranks_share_the_card_through_a_library_that_can(self):
        self.program(self.folder / "path" / "nvidia-smi", "#!/bin/sh\necho 'NVIDIA H200, 580.65.06'\n")
        self.program(self.folder / "path" / "ctest", CTEST)
        self.program(self.folder / "build" / "bin" / "lockstep", LOCKSTEP)
        library = self.folder / "libnccl.so.2"
        library.write_text("")
        self.check("--quick", "--nccl-library", library)
        report = json.loads((self.folder / "out" / "nvidia-h200.json").read_text())
        shared = [entry for entry in report["benches"] if "--share-gpus" in entry["command"]]
        self.assertEqual(len(shared), 3)
        self.assertTrue(all(entry["environment"] == {"LD_PRELOAD": str(library)} for entry in shared))
        self.assertIn("two ranks on one GPU through NCCL", report["tests"])


if __name__ == "__main__":
    unittest.main()

"""The bundle of scripts/gpu-check --pack, unpacked elsewhere: it holds what it needs, starts it, and refuses another PyTorch.

Needs LOCKSTEP_BIN and LOCKSTEP_VENV (ctest sets both). No test here uses a GPU, even where there is one.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

BUILD = pathlib.Path(os.environ["LOCKSTEP_BIN"]).parent
PYTHON = pathlib.Path(os.environ["LOCKSTEP_VENV"]) / "bin" / "python"
GPU_CHECK = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "gpu-check"
MOST_BYTES = 60 * 2**20


class GpuBundleTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = pathlib.Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.scratch)
        packed = cls.scratch / "bundle.tar.gz"
        subprocess.run([sys.executable, GPU_CHECK, "--build", BUILD, "--pack", packed], check=True, timeout=300)
        cls.bytes = packed.stat().st_size
        subprocess.run(["tar", "xf", packed], cwd=cls.scratch, check=True, timeout=60)
        packed.unlink()
        cls.bundle = cls.scratch / "bundle"
        cls.manifest = json.loads((cls.bundle / "build" / "gpu-check.json").read_text())
        smi = cls.scratch / "path" / "nvidia-smi"
        smi.parent.mkdir()
        smi.write_text("#!/bin/sh\necho 'NVIDIA H200, 580.65.06'\n")
        smi.chmod(0o755)

    def start(self, *arguments, python=PYTHON, timeout=240):
        """As on a machine where nothing of ours is in the environment."""
        environment = {"PATH": f"{self.scratch / 'path'}:/usr/bin:/bin", "HOME": str(self.scratch), "CUDA_VISIBLE_DEVICES": ""}
        return subprocess.run(["/usr/bin/python3", "scripts/gpu-check", "--python", python, *arguments], cwd=self.bundle, env=environment,
                              capture_output=True, text=True, timeout=timeout)

    def test_is_small_and_names_no_folder_of_this_machine(self):
        self.assertLess(self.bytes, MOST_BYTES)
        self.assertNotIn(str(BUILD), json.dumps(self.manifest))
        self.assertLessEqual({"commit", "NCCL", "CUDA", "PyTorch", "Open MPI"}, set(self.manifest["versions"]))
        self.assertEqual(sorted(path.name for path in (self.bundle / "build").iterdir()),
                         ["bin", "gpu-check.json", "lib", "openmpi", "share", "tests"])

    def test_programs_find_their_libraries_in_it_and_in_the_wheels(self):
        programs = [*(self.bundle / "build" / "bin").iterdir(), *(self.bundle / "build" / "tests").iterdir(),
                    self.bundle / "build" / "openmpi" / "bin" / "orterun", *(self.bundle / "build" / "openmpi" / "plugins").iterdir()]
        done = self.start("--run", "ldd", *programs)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn("not found", done.stdout)
        ours = {line.split()[0]: line.split()[2] for line in done.stdout.splitlines() if "=> /" in line}
        for name in ("libmpi.so.40", "libopen-pal.so.40", "libhwloc.so.15", "libcurl.so.4", "libdate-tz.so.3"):
            self.assertEqual(ours[name], str(self.bundle / "build" / "lib" / name))
        for name in ("libtorch_cuda.so", "libnccl.so.2", "libcudart.so.13"):
            self.assertIn("site-packages", ours[name])

    def test_two_ranks_train_beside_pytorch(self):
        result = self.scratch / "result.json"
        done = self.start("--run", "build/bin/lockstep", "bench", "step", "--device", "cpu", "--nproc-per-node", "2", "--backend", "mpi",
                          "--contenders", "averaged", "--compare", "pytorch", "--python", "scripts/gpu_check/python_alone", "--rounds", "1",
                          "--warmup-rounds", "0", "--steps", "1", "--json", result)
        self.assertEqual(done.returncode, 0, done.stderr)
        found = json.loads(result.read_text())["workloads"][0]["contenders"]
        self.assertEqual([one["contender"] for one in found], ["averaged", "pytorch local", "pytorch ddp"])

    def test_runs_every_test_of_the_manifest_without_ctest(self):
        done = self.start("--only", "tests", "--out", self.scratch / "out")
        self.assertEqual(done.returncode, 1, done.stderr)
        one_gpu = {test["name"] for test in self.manifest["tests"] if "two_gpus" not in test["labels"]}
        report = json.loads((self.scratch / "out" / "nvidia-h200.json").read_text())
        self.assertEqual(set(report["tests"]["tests labelled gpu"]["failures"]), one_gpu)
        self.assertEqual(report["versions"]["commit"], self.manifest["versions"]["commit"])
        log = (self.scratch / "out" / "nvidia-h200.log").read_text()
        ranks = sum(test["ranks"] for test in self.manifest["tests"] if test["name"].startswith("comm_cuda"))
        self.assertGreaterEqual(log.count("a test labelled gpu was started without one"), ranks, log)
        self.assertRegex(log, r"(?s)tests/end_to_end/gpu_test\.py.*lockstep: error: --device cuda")

    def test_another_pytorch_is_refused_in_one_line(self):
        other = self.scratch / "python"
        other.write_text('#!/bin/sh\necho \'{"torch": "2.12.0", "cuda": "13.0", "nccl": "2.28.9", "transformers": null, "libraries": []}\'\n')
        other.chmod(0o755)
        done = self.start(python=other)
        self.assertEqual((done.returncode, len(done.stderr.splitlines())), (2, 1), done)
        self.assertIn(f"has PyTorch 2.12.0, and this bundle was built with {self.manifest['versions']['PyTorch']}", done.stderr)
        other.write_text("#!/bin/sh\nexit 1\n")
        done = self.start(python=other)
        self.assertEqual((done.returncode, len(done.stderr.splitlines())), (2, 1), done)
        self.assertIn("cannot import PyTorch", done.stderr)


if __name__ == "__main__":
    unittest.main()

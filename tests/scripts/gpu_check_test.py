"""scripts/gpu-check without a GPU, and with one that is made up: programs of ours in the places of nvidia-smi, ctest, Python and lockstep."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

GPU_CHECK = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "gpu-check"

# Answers as `lockstep bench` does; a bench of two ranks through the host fails; with HANGS none ends before it is asked to.
LOCKSTEP = """#!/bin/sh
echo "$@" >>"$CALLS"
case "$*" in *"--backend mpi"*resnet50*) echo 'lockstep: error: no pinned memory' >&2; exit 11 ;; esac
while [ $# -gt 1 ]; do shift; done
case "$(tail -n 1 "$CALLS")" in
  *"bench step"*) cat >"$1" <<'J'
{"benchmark": "step", "versions": {"NCCL": "2.28.9"}, "workloads": [{"workload": "a model of 124,439,808 parameters",
 "peak_flop_per_s_of_a_rank": 800e12, "peak_source": "measured, all ranks at once", "contenders": [
 {"contender": "local", "step_ms": {"median": 10.0}, "samples_per_s": 1600.0, "peak_share": 0.5},
 {"contender": "averaged", "step_ms": {"median": 10.5}, "samples_per_s": 1523.8, "tokens_per_s": 500000.0, "peak_share": 0.476},
 {"contender": "captured", "step_ms": {"median": 8.0}, "samples_per_s": 2000.0, "peak_share": 0.625},
 {"contender": "pytorch local", "step_ms": {"median": 12.0}, "samples_per_s": 1333.3},
 {"contender": "pytorch ddp", "step_ms": {"median": 10.4}, "samples_per_s": 1538.5},
 {"contender": "pytorch compiled", "step_ms": {"median": 9.45}, "samples_per_s": 1693.1}]}]}
J
  ;;
  *) echo '{"benchmark": "all-reduce", "versions": {}, "rows": [{"size_bytes": 4096, "time_us": {"median": 8.25},
     "busbw_gb_per_s": 0.5, "wrong": 0}]}' >"$1" ;;
esac
[ -z "$HANGS" ] || { trap 'exit 10' TERM; sleep 60 & wait; }
"""
PYTHON = """#!/bin/sh
case "$*" in
  *--compile) echo 'torch._inductor.exc.InductorError: RuntimeError: Failed to find C compiler.' >&2; exit $COMPILER ;;
  *) echo '{"torch": "2.11.0+cu130", "cuda": "13.0", "nccl": "2.28.9", "transformers": "4.57.6", "libraries": []}' ;;
esac
"""
SANITIZER = """#!/bin/sh
echo "sanitizer $@" >>"$CALLS"
case "$*" in *racecheck*) exit 9 ;; esac
"""


class GpuCheckTest(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.out = self.folder / "out"
        self.variables = {"COMPILER": "0"}

    def program(self, place, text):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        place.chmod(0o755)

    def gpu_and_build(self, *tests):
        self.program(self.folder / "path" / "nvidia-smi", "#!/bin/sh\necho 'NVIDIA H200, 580.65.06'\n")
        self.program(self.folder / "path" / "python", PYTHON)
        self.program(self.folder / "path" / "git", "#!/bin/sh\necho ${COMMIT:-0123456789ab}\n")
        self.program(self.folder / "build" / "bin" / "lockstep", LOCKSTEP)
        listed = {"tests": tests or [self.gpu_test("recompute_cuda_test", 0), self.gpu_test("comm_cuda_communicator_test.n2", 1)]}
        self.program(self.folder / "path" / "ctest", f"#!/bin/sh\ncat <<'J'\n{json.dumps(listed)}\nJ\n")

    def gpu_test(self, name, code, labels=("gpu",), timeout_s=30, script=""):
        file = self.folder / "build" / "tests" / name
        self.program(file, f'#!/bin/sh\necho "{name} $OF_TEST $LD_PRELOAD" >>"$CALLS"\n{script}\nexit {code}\n')
        properties = {"LABELS": list(labels), "ENVIRONMENT": ["OF_TEST=yes"], "TIMEOUT": timeout_s}
        return {"name": name, "command": [str(file)], "properties": [{"name": key, "value": value} for key, value in properties.items()]}

    def check(self, *options):
        environment = {"PATH": f"{self.folder / 'path'}:/usr/bin:/bin", "CALLS": str(self.folder / "calls"),
                       "HOME": os.environ.get("HOME", "/"), **self.variables}
        return subprocess.run([sys.executable, GPU_CHECK, "--build", self.folder / "build", "--out", self.out, "--python",
                               self.folder / "path" / "python", *options], env=environment, capture_output=True, text=True, timeout=60)

    def report(self):
        return json.loads((self.out / "nvidia-h200.json").read_text())

    def calls(self):
        return (self.folder / "calls").read_text().splitlines()

    def refused(self, part_of_the_line, *options):
        done = self.check(*options)
        self.assertEqual(done.returncode, 2, done)
        self.assertIn(part_of_the_line, done.stderr.splitlines()[-1])

    def test_without_a_gpu_it_says_so_in_one_line(self):
        self.program(self.folder / "path" / "nvidia-smi", "#!/bin/sh\necho 'has failed because it could not communicate'\nexit 9\n")
        done = self.check()
        self.assertEqual(done.returncode, 3, done)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        self.assertIn("no GPU here", done.stderr)
        self.assertEqual(done.stdout, "")
        self.assertFalse(self.out.exists())

    def test_wrong_options_are_refused(self):
        self.refused("unrecognized", "--fast")
        self.refused("none.so is not there", "--nccl-library", self.folder / "none.so")
        self.refused("unknown part 'test' (known: tests, sanitizer, step, all-reduce)", "--only", "step,test")
        self.refused("more than 0 seconds", "--time-limit", "0")
        self.refused("name a program", "--run")
        self.refused("must end in .tar.xz or .tar.gz", "--pack", self.folder / "bundle.zip")

    def test_what_is_missing_is_named(self):
        self.gpu_and_build()
        self.program(self.folder / "path" / "python", "#!/bin/sh\nexit 1\n")
        self.refused("cannot import PyTorch")
        self.program(self.folder / "path" / "ctest", "#!/bin/sh\necho '{\"tests\": []}'\n")
        self.program(self.folder / "path" / "python", PYTHON)
        self.refused("has the label gpu")
        (self.folder / "build" / "bin" / "lockstep").unlink()
        self.refused("run scripts/setup once")

    def test_writes_what_it_found(self):
        self.gpu_and_build()
        done = self.check("--quick")
        self.assertEqual(done.returncode, 1, done)  # a test failed, and a bench
        report = self.report()
        self.assertEqual((report["gpu"], report["driver"]), ("NVIDIA H200", "580.65.06"))
        tests = report["tests"]["tests labelled gpu"]
        self.assertEqual((tests["passed"], tests["failed"], tests["failures"]), (1, 1, ["comm_cuda_communicator_test.n2"]))
        self.assertEqual([entry["ok"] for entry in report["benches"]], [True] * 8 + [False])
        self.assertEqual(report["benches"][-1]["error"], "lockstep: error: no pinned memory")
        self.assertEqual((report["versions"]["NCCL"], report["versions"]["PyTorch"]), ("2.28.9", "2.11.0+cu130"))

        text = (self.out / "nvidia-h200.txt").read_text()
        self.assertIn("NVIDIA H200, driver 580.65.06", text)
        row = next(line.split("  ") for line in text.splitlines() if " averaged  " in line)
        cells = [cell.strip() for cell in row if cell.strip()]
        # 10 / 10.5, 10.4 / 10.5 and 9.45 / 10.5
        self.assertEqual(cells[1:], ["averaged", "10.500 ms", "500000 tokens/s", "0.952", "0.990", "0.900", "47.6 %"])
        captured = next(line for line in text.splitlines() if " captured  " in line)
        self.assertRegex(captured, r"8\.000 ms +2000\.0 samples/s +1\.250 +1\.300 +1\.181 +62\.5 %")  # 10, 10.4 and 9.45 / 8
        self.assertRegex(text, r"all-reduce, one rank +4096 +8.2 us +0.50 +0")
        self.assertIn("failed: resnet50, two ranks through the host: exit code 11", text)
        self.assertIn("left out: two ranks on one GPU through NCCL", text)
        self.assertRegex(text, r"resnet50, batch 256: averaged over PyTorch DDP >= 1\.00 +not measured +-")  # --quick has other batches
        self.assertEqual(sum("not measured" in line for line in text.splitlines()), len(report["bars"]))
        self.assertIn("recompute_cuda_test yes ", self.calls())
        self.assertNotIn("--share-gpus", "".join(self.calls()))

    def test_bars_say_what_was_reached(self):
        self.gpu_and_build()
        self.check("--only", "step")
        bars = {row["bar"]: (row["measured"], row["reached"]) for row in self.report()["bars"]}
        self.assertEqual(bars["resnet50, batch 256, bf16, channels-last: DDP on one rank over none <= 1 %"], ("5.00 %", False))
        self.assertEqual(bars["gpt2, batch 16: averaged over PyTorch DDP >= 1.00"], ("0.990", False))
        self.assertEqual(bars["resnet50, batch 256: captured over PyTorch DDP >= 1.15"], ("1.300", True))
        self.assertEqual(bars["resnet50, batch 16: captured over PyTorch DDP >= 1.50"], ("1.300", False))
        self.assertEqual(bars["gpt2, batch 16: the better over torch.compile >= 0.95"], ("1.181", True))
        self.assertNotIn("not measured", (self.out / "nvidia-h200.txt").read_text())

    def test_gpt2s_utilisation_is_counted_in_two_ways(self):
        self.gpu_and_build()
        self.check("--only", "step")
        text = (self.out / "nvidia-h200.txt").read_text()
        # 5e5 tokens/s * (6 * 124,439,808 + 6 * 12 * 768 * 1024) = 401.6e12
        self.assertIn("utilisation, gpt2, batch 16, averaged: 402 TFLOP/s as llm.c counts (6 N + 6 L C T a token), 40.6 % of the data sheet's 989; "
                      "products counted one by one, 47.6 % of 800, measured, all ranks at once", text)
        self.assertNotIn("utilisation, resnet50", text)

    def test_two_gpus_tests_need_two(self):
        self.gpu_and_build(self.gpu_test("one_test", 0), self.gpu_test("other_test", 0, labels=("gpu", "two_gpus")))
        self.assertEqual(self.check("--only", "tests").returncode, 0)
        self.assertEqual(self.report()["tests"]["tests labelled gpu"]["passed"], 1)
        self.assertIn("other_test, for there is one GPU", self.report()["left_out"][0]["what"])

    def test_a_test_that_hangs_fails_after_its_own_timeout(self):
        self.gpu_and_build(self.gpu_test("slow_test", 0, timeout_s=0.5, script="sleep 60"), self.gpu_test("quick_test", 0))
        self.assertEqual(self.check("--only", "tests").returncode, 1)
        tests = self.report()["tests"]["tests labelled gpu"]
        self.assertEqual((tests["passed"], tests["failures"]), (1, ["slow_test"]))
        self.assertIn("ended after 0 s", (self.out / "nvidia-h200.log").read_text())

    def test_two_ranks_share_the_card_through_a_library_that_can(self):
        self.gpu_and_build(self.gpu_test("one_test", 0))
        library = self.folder / "libnccl.so.2"
        library.write_text("")
        self.check("--quick", "--nccl-library", library)
        shared = [entry for entry in self.report()["benches"] if "--share-gpus" in entry["command"]]
        self.assertEqual(len(shared), 3)
        self.assertTrue(all(entry["environment"] == {"LD_PRELOAD": str(library)} for entry in shared))
        self.assertEqual(self.report()["tests"]["two ranks on one GPU through NCCL"]["passed"], 1)
        self.assertIn(f"one_test yes {library}", self.calls())

    def test_each_sanitizer_has_a_row(self):
        self.gpu_and_build()
        self.program(self.folder / "toolkit" / "bin" / "compute-sanitizer", SANITIZER)
        self.variables["CUDA_HOME"] = str(self.folder / "toolkit")
        self.assertEqual(self.check("--only", "sanitizer").returncode, 1)
        found = {title: tests["passed"] for title, tests in self.report()["tests"].items()}
        self.assertEqual(found, {f"compute-sanitizer {tool}, one rank": passed
                                 for tool, passed in (("memcheck", 2), ("racecheck", 0), ("synccheck", 2))})
        self.assertEqual([call.split("/")[-1] for call in self.calls()], 3 * ["comm_cuda_tree_sum_test", "comm_cuda_communicator_test"])

    def test_without_a_compiler_steps_are_not_compared_with_compiled_ones(self):
        self.gpu_and_build()
        self.variables["COMPILER"] = "1"
        self.check("--only", "step", "--quick")
        self.assertNotIn("compile", "".join(self.calls()))
        self.assertIn("--compare pytorch ", self.calls()[0])
        self.assertIn("Failed to find C compiler", self.report()["left_out"][0]["what"])

    def test_a_part_that_is_run_again_leaves_the_others(self):
        self.gpu_and_build()
        self.check("--quick", "--only", "tests,all-reduce")
        self.assertEqual(len(self.report()["benches"]), 2)
        self.gpu_and_build(self.gpu_test("one_test", 0), self.gpu_test("other_test", 0))
        self.assertEqual(self.check("--quick", "--only", "tests").returncode, 0)
        self.assertEqual(self.report()["tests"]["tests labelled gpu"]["passed"], 2)
        self.assertEqual([entry["name"] for entry in self.report()["benches"]],
                         ["all-reduce, one rank", "all-reduce, two ranks through the host"])
        self.assertEqual(len(self.report()["left_out"]), 1)  # not said twice

    def test_results_of_other_sources_are_not_taken_over(self):
        self.gpu_and_build(self.gpu_test("one_test", 0))
        for first, second in (("0123456789ab", "ba9876543210"), ("0123456789ab-dirty", "0123456789ab-dirty")):
            self.variables["COMMIT"] = first
            self.check("--quick", "--only", "all-reduce")
            self.assertEqual(len(self.report()["benches"]), 2)
            self.variables["COMMIT"] = second
            self.check("--quick", "--only", "tests")
            self.assertEqual(self.report()["benches"], [])
        (self.out / "nvidia-h200.json").write_text("[]")
        self.refused("nvidia-h200.json is none of this script's results", "--quick", "--only", "tests")

    def test_what_does_not_fit_is_left_out_and_what_was_measured_is_kept(self):
        self.gpu_and_build()
        self.variables["HANGS"] = "yes"
        done = self.check("--quick", "--only", "step", "--time-limit", "32")
        self.assertEqual(done.returncode, 0, done)
        report = self.report()
        self.assertEqual([(entry["name"], entry["exit_code"]) for entry in report["benches"]], [("resnet50, batch 32", 10)])
        self.assertRegex(report["left_out"][0]["what"], r"resnet50, batch 32: cut off after 1\d s by --time-limit, with the rounds until then")
        self.assertRegex(report["left_out"][1]["what"], r"gpt2, batch 4: it takes 30 s and more, and \d+ s were left")
        self.assertEqual(len(report["left_out"]), 7)
        self.assertEqual(len(self.calls()), 1)


if __name__ == "__main__":
    unittest.main()

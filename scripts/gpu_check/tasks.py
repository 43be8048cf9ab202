"""What a check does, in the order of importance, as tasks that a time limit may leave out."""

import json
import pathlib
import tempfile
import typing

from gpu_check.benches import Peers, benches

PARTS = ("tests", "sanitizer", "step", "all-reduce")
SANITIZED = ("comm_cuda_tree_sum_test", "comm_cuda_communicator_test")  # our kernels; and NCCL and streams, on one rank
SANITIZERS = ("memcheck", "racecheck", "synccheck")
SANITIZER_S = 600
SANITIZER_SHARE = 0.2  # of what --time-limit leaves: programs are many times slower under it
BENCH_S = 1800  # its own timeouts come first


class Task(typing.NamedTuple):
    part: str
    name: str
    least_s: float  # with less than that left it is not begun
    run: typing.Callable


class Check:
    """One run of scripts/gpu-check on an installation."""

    def __init__(self, installation, commands, results, gpu_count, options):
        self.installation, self.commands, self.results = installation, commands, results
        self.gpu_count, self.options = gpu_count, options

    def run(self):
        for task in self.tasks():
            if task.part not in self.options.only:
                continue
            left_s = self.commands.left_s()
            if left_s < task.least_s:
                self.leave_out(task.part, f"{task.name}: it takes {task.least_s:.0f} s and more, and {max(left_s, 0):.0f} s were left")
            else:
                task.run()
            self.results.write()
        self.results.write()  # with what was left out last

    def leave_out(self, part, what):
        if part in self.options.only:
            self.results.leave_out(part, what)

    def tasks(self):
        sanitizers = list(self.sanitizers())
        yield from self.tests("tests labelled gpu", {})
        yield from sanitizers[:len(SANITIZED)]
        yield from self.benches()
        yield from self.tests_on_shared_gpu()
        yield from sanitizers[len(SANITIZED):]

    def tests(self, title, environment):
        # Those of one rank need the least to work.
        for test in sorted(self.installation.tests, key=lambda test: test["ranks"]):
            if self.gpu_count > 1 or "two_gpus" not in test["labels"]:
                yield Task("tests", f"{title}: {test['name']}", 30, lambda test=test: self.run_test("tests", title, test, environment))
            else:
                self.leave_out("tests", f"{title}: {test['name']}, for there is one GPU")

    def preload(self):
        """What has NCCL replaced by one that can share a GPU; nothing where none was named."""
        library = self.options.nccl_library
        return {"LD_PRELOAD": str(library.absolute())} if library else {}

    def tests_on_shared_gpu(self):
        if self.options.nccl_library:
            yield from self.tests("two ranks on one GPU through NCCL", self.preload() | {"LOCKSTEP_TEST_SHARE_GPUS": "1"})
        else:
            self.leave_out("tests", "two ranks on one GPU through NCCL, for no --nccl-library was named")

    def run_test(self, part, title, test, environment, share=1.0):
        ended = self.commands.run(test["command"], {**self.installation.environment, **test["environment"], **environment},
                                  test["timeout_s"], share)
        if ended.cut_off:
            self.leave_out(part, f"{title}: {test['name']}: cut off after {ended.timeout_s:.0f} s by --time-limit")
        else:
            self.results.add_test(part, title, test["name"], ended.code == 0)

    def sanitizers(self):
        sanitizer = self.installation.find_sanitizer()
        if not sanitizer:
            self.leave_out("sanitizer", "compute-sanitizer, which is neither on the PATH, nor in a CUDA toolkit, nor beside PyTorch "
                                                "(the wheel nvidia-cuda-sanitizer-api)")
            return
        for tool in SANITIZERS:
            for program in SANITIZED:
                test = {"name": program, "environment": {"OMP_NUM_THREADS": "1"}, "timeout_s": SANITIZER_S,
                        "command": [sanitizer, "--error-exitcode", "9", "--tool", tool, self.installation.build / "tests" / program]}
                title = f"compute-sanitizer {tool}, one rank"
                yield Task("sanitizer", f"{title}: {program}", 60,
                           lambda title=title, test=test: self.run_test("sanitizer", title, test, {}, SANITIZER_SHARE))

    def benches(self):
        if not {"step", "all-reduce"} & set(self.options.only):
            return
        for bench in benches(self.options.quick, self.preload(), self.peers()):
            least_s = 30 if self.options.quick or bench.part == "all-reduce" else 90
            yield Task(bench.part, bench.name, least_s, lambda bench=bench: self.run_bench(bench))

    def peers(self):
        """What of PyTorch the steps can be compared with."""
        problem = self.installation.why_not_compiled(self.commands) if "step" in self.options.only else None
        if problem:
            self.leave_out("step", f"steps beside torch.compile, which does not work here: {problem}")
        has_gpt2 = self.installation.torch["transformers"] is not None
        if not has_gpt2:
            self.leave_out("step", f"gpt2 beside PyTorch's, for {self.installation.python} has no transformers")
        return Peers(self.installation.peers_python, not problem, has_gpt2)

    def run_bench(self, bench):
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "result.json"
            ended = self.commands.run([self.installation.build / "bin" / "lockstep", *bench.arguments, "--json", file],
                                      {**self.installation.environment, **bench.environment}, BENCH_S)
            result = json.loads(file.read_text()) if file.exists() and file.stat().st_size > 0 else None
        if ended.cut_off:
            self.leave_out(bench.part, f"{bench.name}: cut off after {ended.timeout_s:.0f} s by --time-limit"
                                   + (", with the rounds until then" if result else ""))
            if not result:
                return
        entry = {"part": bench.part, "name": bench.name, "command": "lockstep " + " ".join(bench.arguments),
                 "environment": bench.environment, "exit_code": ended.code,
                 "ok": result is not None and (ended.code == 0 or ended.cut_off), "result": result}
        if not entry["ok"]:
            entry["error"] = next((line for line in ended.text.splitlines() if "error:" in line), ended.text.strip()[-300:])
        self.results.add_bench(entry)

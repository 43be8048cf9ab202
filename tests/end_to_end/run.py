"""Starting the real programs, and reading what they leave behind. Needs LOCKSTEP_BIN, and for PyTorch LOCKSTEP_VENV (ctest sets both)."""

import atexit
import gzip
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

BIN = pathlib.Path(os.environ["LOCKSTEP_BIN"])
VENV = pathlib.Path(os.environ.get("LOCKSTEP_VENV", sys.prefix))
# mpirun started by hand, as root in a container and with more ranks than cores.
os.environ.update({"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMPI_MCA_rmaps_base_oversubscribe": "1",
                   "OMPI_MCA_hwloc_base_binding_policy": "none", "OMPI_MCA_btl_vader_single_copy_mechanism": "none",
                   "LOCKSTEP_NOTICES": "off"})  # a test on a cloud's machine does not ask for its notices
FASHION_MNIST = pathlib.Path("/usr/share/datasets/fashion-mnist")
REFERENCE = pathlib.Path(__file__).resolve().parent.parent / "reference"


def command(run_dir, ranks, *options):
    return [BIN / "lockstep", "train", "--nproc-per-node", str(ranks), "--device", "cpu", "--num-threads", "1",
            "--run-dir", run_dir, *map(str, options)]


def run(arguments, timeout=240, **more):
    return subprocess.run(list(map(str, arguments)), capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL,
                          **more)


_ddp_ranks = None  # the process that forks the ranks of PyTorch's runs


def pytorch_ddp(ranks, *arguments):
    """Runs tests/reference/ddp_training.py on that many ranks, as torchrun would but without importing torch for each."""
    global _ddp_ranks
    if _ddp_ranks is None:
        _ddp_ranks = subprocess.Popen([sys.executable, REFERENCE / "ddp_ranks.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
        atexit.register(_ddp_ranks.communicate)
    with tempfile.NamedTemporaryFile("r", prefix="lockstep-test-", suffix=".stderr") as stderr:
        print(json.dumps({"ranks": ranks, "arguments": [str(argument) for argument in arguments], "stderr": stderr.name}),
              file=_ddp_ranks.stdin, flush=True)
        answer = json.loads(_ddp_ranks.stdout.readline())
        if answer["status"] != 0:
            raise AssertionError(f"PyTorch DDP's run ended with status {answer['status']}:\n{stderr.read()}")


def records(run_dir, kind):
    """Of the whole lines: the last may be half written by a living run, or torn by the end of a killed one."""
    text = (pathlib.Path(run_dir) / "metrics.jsonl").read_text()
    return [record for record in map(json.loads, text[:text.rfind("\n") + 1].splitlines()) if record["kind"] == kind]


def first_pictures(folder, train, test):
    """Fills `folder` with the first `train` and `test` pictures of Fashion-MNIST and their labels, in files of the same names."""
    for split, count in (("train", train), ("t10k", test)):
        for kind, header, size in (("images-idx3", 16, 784), ("labels-idx1", 8, 1)):
            name = f"{split}-{kind}-ubyte.gz"
            with gzip.open(FASHION_MNIST / name) as file:
                content = file.read(header + count * size)
            (folder / name).write_bytes(gzip.compress(content[:4] + count.to_bytes(4, "big") + content[8:], compresslevel=1))


def newest_checkpoint(run_dir):
    return (pathlib.Path(run_dir) / "checkpoints" / "latest").resolve()


def model_digest(run_dir):
    return hashlib.sha256((newest_checkpoint(run_dir) / "model.safetensors").read_bytes()).hexdigest()


def processes_with(text):
    """Command lines of living processes that contain `text`, ours excepted."""
    found = []
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            state = (folder / "stat").read_text().rsplit(")", 1)[1].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if text in line and state != "Z" and int(folder.name) != os.getpid():
            found.append((int(folder.name), line))
    return found


def own_port():
    """Of this process: others have others, and the system gives none of these to connections."""
    return 20000 + os.getpid() % 12000


def first_good(measure, is_good, tries=3):
    """The first of what `measure(number of the try)` gives that is good, else the last: where a stalled machine only makes it worse."""
    for number in range(tries):
        measured = measure(number)
        if is_good(*measured):
            break
    return measured


class RunTest(unittest.TestCase):
    """A test with a folder of its own for runs."""

    def setUp(self):
        self._folder = tempfile.TemporaryDirectory(prefix="lockstep-test-")
        self.addCleanup(self._folder.cleanup)
        self.folder = pathlib.Path(self._folder.name)

    def train(self, name, ranks, *options, expect=0, timeout=240):
        result = run(command(self.folder / name, ranks, *options), timeout=timeout)
        self.assertEqual(result.returncode, expect, f"{result.args}\n{result.stdout}\n{result.stderr}")
        return result

"""The same tensors and training state in Python as in tests/trainer/checkpoint/checkpoint_content.h.

checkpoint_formats.py DIR: writes them with PyTorch and safetensors for the C++ test to read.
checkpoint_formats.py --check DIR: opens what the C++ test wrote, at torch.load's safe default.
"""

import pathlib
import sys

import torch
from safetensors.torch import load_file, save_file

DTYPES = {
    "float64": torch.float64,
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "int64": torch.int64,
    "int32": torch.int32,
    "int16": torch.int16,
    "int8": torch.int8,
    "uint8": torch.uint8,
    "bool": torch.bool,
}


def named_tensors():
    tensors = {name: (torch.arange(15) % 7).reshape(3, 5).to(dtype) for name, dtype in DTYPES.items()}
    tensors["scalar"] = torch.tensor(2.5)
    tensors["empty"] = torch.zeros(0, 3)
    tensors["a strange/näme\n\"quoted\""] = torch.arange(3, dtype=torch.int8)
    return tensors


def train_state():
    return {
        "epoch": 3,
        "negative": -70000,
        "big": 2**40 + 1,
        "smallest": -(2**63),
        "lr": 0.1,
        "done": True,
        "failed": False,
        "nothing": None,
        "name": "résumé",
        "list": [1, 2.5, "x", [], {}],
        "ints": [1, 2, 300],
        "optimizer": {0: {"step": torch.tensor(5.0), "exp_avg": torch.arange(6.0).reshape(2, 3)}, 7: {}},
        "rng": (torch.arange(5056) % 251).to(torch.uint8),
        "bf16": torch.arange(4).to(torch.bfloat16),
        "flags": torch.tensor([True, False]),
        "empty": torch.zeros(0),
        "view": torch.arange(100000.0)[10:13],
        "transposed": torch.arange(6).reshape(2, 3).t(),
    }


def assert_equal(left, right, place="state"):
    assert type(left) is type(right), (place, type(left), type(right))
    if isinstance(left, dict):
        assert list(left) == list(right), (place, list(left), list(right))
        for key in left:
            assert_equal(left[key], right[key], f"{place}/{key}")
    elif isinstance(left, list):
        assert len(left) == len(right), place
        for i, (a, b) in enumerate(zip(left, right)):
            assert_equal(a, b, f"{place}/{i}")
    elif isinstance(left, torch.Tensor):
        assert left.dtype == right.dtype and torch.equal(left, right), place
    else:
        assert left == right, (place, left, right)


def check(directory):
    tensors = load_file(directory / "cpp.safetensors")
    assert_equal(dict(sorted(tensors.items())), dict(sorted(named_tensors().items())))
    for mmap in (False, True):
        state = torch.load(directory / "cpp_state.pt", mmap=mmap)
        assert_equal(state, train_state())
    size = (directory / "cpp_state.pt").stat().st_size
    assert size < 20000, f"a view has dragged its storage along: {size} bytes"


def write(directory):
    directory.mkdir(parents=True, exist_ok=True)
    for leftover in directory.iterdir():
        leftover.unlink()
    save_file(named_tensors(), directory / "python.safetensors", metadata={"format": "pt", "epoch": "3"})
    torch.save(train_state(), directory / "python_state.pt")


if __name__ == "__main__":
    if sys.argv[1] == "--check":
        check(pathlib.Path(sys.argv[2]))
    else:
        write(pathlib.Path(sys.argv[1]))

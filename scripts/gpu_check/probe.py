"""Run by gpu-check with the Python that has PyTorch: prints which it is and where its libraries lie, as one JSON object.

With --compile instead: compiles a function for the GPU, and fails where that is not possible (no C compiler, no Python.h).
"""

import importlib.metadata
import importlib.util
import json
import pathlib
import sys

import torch


def version_of(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def library_folders():
    nvidia = importlib.util.find_spec("nvidia")
    roots = list(nvidia.submodule_search_locations) if nvidia else []
    wheels = sorted(str(folder) for root in roots for folder in pathlib.Path(root).glob("*/lib"))
    return [str(pathlib.Path(torch.__file__).parent / "lib"), *wheels]


if __name__ == "__main__":
    if "--compile" in sys.argv:
        torch.compile(lambda x: x + 1)(torch.ones(4, device="cuda"))
    else:
        print(json.dumps({"torch": torch.__version__, "cuda": torch.version.cuda, "transformers": version_of("transformers"),
                          "nccl": ".".join(map(str, torch.cuda.nccl.version())), "libraries": library_folders()}))

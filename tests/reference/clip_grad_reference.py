"""clip_grad_reference.py DIR: torch.nn.utils.clip_grad_norm_, for tests/trainer/optim/clip_grad_test.cpp.

DIR/<case>.safetensors: max_norm (float64), grad.<i>, norm, clipped.<i>; parameter 3 has no gradient.
"""

import pathlib
import sys

import torch
from safetensors.torch import save_file

SHAPES = ((17, 33), (1,), (), None, (0, 3), (1001,))
CASES = {"clipped": 0.7, "left_alone": 1e6, "tiny": 1e-7}


def main(directory):
    directory.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    for seed, (case, max_norm) in enumerate(CASES.items()):
        generator = torch.Generator().manual_seed(seed)
        parameters, tensors = [], {"max_norm": torch.tensor(max_norm, dtype=torch.float64)}
        for i, shape in enumerate(SHAPES):
            parameters.append(torch.zeros((2,) if shape is None else shape, requires_grad=True))
            if shape is not None:
                parameters[-1].grad = torch.randn(shape, generator=generator)
                tensors[f"grad.{i}"] = parameters[-1].grad.clone()
        tensors["norm"] = torch.nn.utils.clip_grad_norm_(parameters, max_norm)
        for i, parameter in enumerate(parameters):
            if parameter.grad is not None:
                tensors[f"clipped.{i}"] = parameter.grad
        save_file(tensors, directory / f"{case}.safetensors")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))

"""optimizer_reference.py DIR: 50 steps of PyTorch's optimizers, for tests/trainer/optim/optimizer_test.cpp.

DIR/gradients.safetensors: start.<i> and grad.<step>.<i>; parameter ODD_ONE_OUT gets gradients from step 10 on only and
parameter WITHOUT none. DIR/<case>.safetensors: after.<step>.<i> for some steps, state.<i>.<name> at the end.
"""

import pathlib
import sys

import torch
from safetensors.torch import save_file

STEPS = 50
CHECKED = (1, 2, 10, 11, 50)
SHAPES = ((17, 33), (1,), (), (0, 3), (3, 5, 7), (129,), (2, 2))
ODD_ONE_OUT, WITHOUT = 5, 6
CASES = {  # the test has the same table
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "sgd_momentum": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9),
    "sgd_weight_decay": lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=1e-2),
    "sgd_momentum_weight_decay": lambda p: torch.optim.SGD(p, lr=0.03, momentum=0.85, weight_decay=5e-4),
    "sgd_nesterov": lambda p: torch.optim.SGD(p, lr=0.02, momentum=0.9, nesterov=True),
    "sgd_nesterov_weight_decay": lambda p: torch.optim.SGD(p, lr=0.02, momentum=0.8, weight_decay=1e-3, nesterov=True),
    "sgd_dampening": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.3, weight_decay=1e-4),
    "adam": lambda p: torch.optim.Adam(p, lr=1e-3),
    "adam_weight_decay": lambda p: torch.optim.Adam(p, lr=3e-3, weight_decay=0.02),
    "adamw": lambda p: torch.optim.AdamW(p, lr=1e-3, weight_decay=0.0),
    "adamw_weight_decay": lambda p: torch.optim.AdamW(p, lr=3e-3, weight_decay=0.01),
    "adamw_betas": lambda p: torch.optim.AdamW(p, lr=1e-2, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.1),
    "adamw_small_beta1": lambda p: torch.optim.AdamW(p, lr=1e-2, betas=(0.3, 0.99), weight_decay=0.0),
}

# fused=True wants all parameters of a group to have gradients from the same step on.
FUSED = {
    "fused_sgd": lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=1e-2, fused=True),
    "fused_sgd_nesterov": lambda p: torch.optim.SGD(p, lr=0.02, momentum=0.8, weight_decay=1e-3, nesterov=True, fused=True),
    "fused_sgd_dampening": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.3, fused=True),
    "fused_adam": lambda p: torch.optim.Adam(p, lr=3e-3, weight_decay=0.02, fused=True),
    "fused_adamw": lambda p: torch.optim.AdamW(p, lr=1e-2, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.1, fused=True),
}
CASES |= {name: lambda p, make=make: make([{"params": p[:ODD_ONE_OUT]}] + [{"params": [q]} for q in p[ODD_ONE_OUT:]])
          for name, make in FUSED.items()}


def main(directory):
    directory.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(3)
    starts = [torch.randn(shape, generator=generator) for shape in SHAPES]
    gradients = {
        (step, i): torch.randn(shape, generator=generator) * 10.0 ** (step % 5 - 2)
        for step in range(1, STEPS + 1)
        for i, shape in enumerate(SHAPES)
        if i != WITHOUT and (i != ODD_ONE_OUT or step >= 10)
    }
    tensors = {f"start.{i}": start for i, start in enumerate(starts)}
    tensors |= {f"grad.{step}.{i}": gradient for (step, i), gradient in gradients.items()}
    save_file(tensors, directory / "gradients.safetensors")

    for case, make in CASES.items():
        parameters = [start.clone().requires_grad_() for start in starts]
        optimizer = make(parameters)
        result = {}
        for step in range(1, STEPS + 1):
            for i, parameter in enumerate(parameters):
                parameter.grad = gradients[step, i].clone() if (step, i) in gradients else None
            optimizer.step()
            if step in CHECKED:
                result |= {f"after.{step}.{i}": p.detach().clone() for i, p in enumerate(parameters)}
        for i, entries in optimizer.state_dict()["state"].items():
            result |= {f"state.{i}.{name}": value for name, value in entries.items() if value is not None}
        save_file(result, directory / f"{case}.safetensors")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))

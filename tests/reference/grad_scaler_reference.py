"""grad_scaler_reference.py DIR: torch.amp.GradScaler on the CPU, for tests/trainer/optim/grad_scaler_test.cpp.

DIR/steps.safetensors: of step s, grad.<s>.<i> as a backward pass leaves it, unscaled.<s>.<i>, and found_inf.<s>, scale.<s> and
growth_tracker.<s> after it; init_scale and growth_interval. Parameter 2 has no gradient.
"""

import pathlib
import sys

import torch
from safetensors.torch import save_file

SHAPES = ((17, 33), (1,), None, (), (0, 3), (1001,))
INIT_SCALE, GROWTH_INTERVAL = 1000.0, 3
# What is put into the gradients of a step, at (parameter, element).
FAULTS = {2: (0, 5, float("inf")), 3: (5, 1000, float("nan")), 9: (1, 0, float("-inf"))}


def main(directory):
    directory.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    parameters = [torch.zeros((2,) if shape is None else shape, requires_grad=True) for shape in SHAPES]
    optimizer = torch.optim.SGD(parameters, lr=0.1)
    scaler = torch.amp.GradScaler("cpu", INIT_SCALE, growth_interval=GROWTH_INTERVAL)
    scaler.scale(torch.zeros(()))  # makes its tensors
    tensors = {"init_scale": torch.tensor(INIT_SCALE), "growth_interval": torch.tensor(GROWTH_INTERVAL)}
    for step in range(12):
        for i, (parameter, shape) in enumerate(zip(parameters, SHAPES)):
            if shape is None:
                continue
            parameter.grad = torch.randn(shape, generator=generator) * scaler.get_scale()
            if step in FAULTS and FAULTS[step][0] == i:
                parameter.grad.view(-1)[FAULTS[step][1]] = FAULTS[step][2]
            tensors[f"grad.{step}.{i}"] = parameter.grad.clone()
        scaler.unscale_(optimizer)
        found = scaler._per_optimizer_states[id(optimizer)]["found_inf_per_device"]
        tensors[f"found_inf.{step}"] = sum(found.values()).clone()
        for i, parameter in enumerate(parameters):
            if parameter.grad is not None:
                tensors[f"unscaled.{step}.{i}"] = parameter.grad.clone()
        scaler.step(optimizer)
        scaler.update()
        tensors[f"scale.{step}"] = torch.tensor(scaler.get_scale())
        tensors[f"growth_tracker.{step}"] = torch.tensor(scaler._get_growth_tracker())
    save_file(tensors, directory / "steps.safetensors")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))

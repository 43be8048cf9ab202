"""lr_schedule_reference.py DIR: learning rates of torch.optim.lr_scheduler, for tests/trainer/optim/lr_schedule_test.cpp.

DIR/schedules.safetensors: <case> (STEPS + 1) float64, the learning rate of each step; <case>.momentum likewise where it moves;
<case>.resumed the same from a scheduler that was saved and loaded again after RESUME steps.
"""

import pathlib
import sys
import warnings

import torch
from safetensors.torch import save_file
from torch.optim import SGD, AdamW, lr_scheduler as schedulers

STEPS = 120
RESUME = 47


def warmed_up(optimizer, steps, start_factor, main):
    first = schedulers.LinearLR(optimizer, start_factor=start_factor, total_iters=steps)
    return schedulers.SequentialLR(optimizer, [first, main], milestones=[steps])


CASES = {  # the test has the same table
    "constant": lambda o: schedulers.ConstantLR(o, factor=1.0),
    "constant_warmup": lambda o: schedulers.LinearLR(o, start_factor=1 / 3, total_iters=11),
    "step": lambda o: schedulers.StepLR(o, 7, gamma=0.7),
    "multi_step": lambda o: schedulers.MultiStepLR(o, [1, 30, 31, 80], gamma=0.3),
    "exponential": lambda o: schedulers.ExponentialLR(o, gamma=0.97),
    "linear": lambda o: schedulers.LinearLR(o, start_factor=1.0, end_factor=0.0, total_iters=100),
    "linear_rise": lambda o: schedulers.LinearLR(o, start_factor=0.3, end_factor=0.9, total_iters=70),
    "cosine": lambda o: schedulers.CosineAnnealingLR(o, T_max=STEPS, eta_min=1e-5),
    "cosine_twice": lambda o: schedulers.CosineAnnealingLR(o, T_max=33),
    "polynomial": lambda o: schedulers.PolynomialLR(o, total_iters=90, power=0.9),
    "one_cycle": lambda o: schedulers.OneCycleLR(o, max_lr=0.1, total_steps=STEPS),
    "one_cycle_options": lambda o: schedulers.OneCycleLR(o, max_lr=0.1, total_steps=130, pct_start=0.25, div_factor=10.0,
                                                         final_div_factor=100.0, cycle_momentum=False),
    "warmup_step": lambda o: warmed_up(o, 10, 0.01, schedulers.StepLR(o, 30)),
    "warmup_multi_step": lambda o: warmed_up(o, 5, 0.1, schedulers.MultiStepLR(o, [20, 60])),
    "warmup_exponential": lambda o: warmed_up(o, 3, 1 / 3, schedulers.ExponentialLR(o, gamma=0.9)),
    "warmup_linear": lambda o: warmed_up(o, 20, 0.001, schedulers.LinearLR(o, start_factor=0.9, end_factor=0.1, total_iters=100)),
    "warmup_cosine": lambda o: warmed_up(o, 13, 0.01, schedulers.CosineAnnealingLR(o, T_max=107, eta_min=0.003)),
    "warmup_polynomial": lambda o: warmed_up(o, 1, 0.5, schedulers.PolynomialLR(o, total_iters=119, power=2.0)),
}
MOMENTUM = {"one_cycle"}


def make(case):
    parameter = torch.zeros(1, requires_grad=True)
    optimizer = AdamW([parameter], lr=0.1) if case == "one_cycle" else SGD([parameter], lr=0.1, momentum=0.9)
    return optimizer, CASES[case](optimizer)


def main(directory):
    directory.mkdir(parents=True, exist_ok=True)
    warnings.simplefilter("ignore")
    lists = {}
    for case in CASES:
        for name, resume in ((case, None), (case + ".resumed", RESUME)):
            optimizer, scheduler = make(case)
            rates, momenta = [], []
            for step in range(STEPS + 1):
                if step == resume:
                    saved = optimizer.state_dict(), scheduler.state_dict()
                    optimizer, scheduler = make(case)
                    optimizer.load_state_dict(saved[0])
                    scheduler.load_state_dict(saved[1])
                rates.append(optimizer.param_groups[0]["lr"])
                momenta.append(optimizer.param_groups[0].get("betas", (0.0,))[0])
                optimizer.step()
                if step < STEPS:
                    scheduler.step()
            lists[name] = torch.tensor(rates, dtype=torch.float64)
            if case in MOMENTUM and resume is None:
                lists[case + ".momentum"] = torch.tensor(momenta, dtype=torch.float64)
    save_file(lists, directory / "schedules.safetensors")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))

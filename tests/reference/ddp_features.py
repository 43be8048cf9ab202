"""What PyTorch's DistributedDataParallel does with unused parameters, uneven inputs and compressed gradients.

    python ddp_features.py DIR

writes DIR/{unused,join,fp16,bf16}_WORLDSIZE.safetensors: the initial state as `initial.NAME`, and what the tests in
tests/comm/ddp_parity_test.cpp compare, byte for byte.
"""

import multiprocessing
import pathlib
import sys

import torch
import torch.distributed as dist
from safetensors.torch import save_file
from torch.distributed.algorithms.ddp_comm_hooks import default_hooks
from torch.distributed.algorithms.join import Join
from torch.nn.parallel import DistributedDataParallel

LEARNING_RATE = 0.1


class Branches(torch.nn.Module):
    """Each pass takes one of two branches; `never` is taken by none."""

    def __init__(self):
        super().__init__()
        self.stem = torch.nn.Linear(5, 300)
        self.left = torch.nn.Linear(300, 3)
        self.right = torch.nn.Linear(300, 3)
        self.never = torch.nn.Linear(3, 3)

    def forward(self, x, left):
        hidden = self.stem(x).relu()
        return self.left(hidden) if left else self.right(hidden)


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first = torch.nn.Linear(5, 300)
        self.norm = torch.nn.BatchNorm1d(300)
        self.last = torch.nn.Linear(300, 3)

    def forward(self, x):
        return self.last(self.norm(self.first(x)).relu())


def inputs_of(rank, step):
    return (torch.arange(20, dtype=torch.float32).view(4, 5) * (rank + 1) + step).remainder(7.0) / 3 - 1


def update(model):
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter.sub_(parameter.grad * LEARNING_RATE)


def keep_gradients(result, step, model):
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            result[f"step{step}.{name}"] = parameter.grad.clone()


def unused(rank, world_size):
    """In step 3 no rank takes the right branch."""
    model = Branches()
    result = {f"initial.{name}": tensor.clone() for name, tensor in model.state_dict().items()}
    ddp = DistributedDataParallel(model, find_unused_parameters=True)
    for step in range(4):
        model.zero_grad()
        ddp(inputs_of(rank, step), step == 3 or (rank + step) % 2 == 0).square().mean().backward()
        keep_gradients(result, step, model)
        update(model)
    return result


def join(rank, world_size):
    """Rank r has r + 1 batches, but rank 0 has none where there are three."""
    model = Net()
    result = {f"initial.{name}": tensor.clone() for name, tensor in model.state_dict().items()}
    ddp = DistributedDataParallel(model)
    batches = 0 if world_size == 3 and rank == 0 else rank + 1
    with Join([ddp]):
        for step in range(batches):
            model.zero_grad()
            ddp(inputs_of(rank, step)).square().mean().backward()
            update(model)
    result.update({f"final.{name}": tensor.clone() for name, tensor in model.state_dict().items()})
    return result


def compressed(hook):
    def run(rank, world_size):
        model = Net()
        result = {f"initial.{name}": tensor.clone() for name, tensor in model.state_dict().items()}
        ddp = DistributedDataParallel(model)
        ddp.register_comm_hook(None, hook)
        for step in range(3):
            model.zero_grad()
            ddp(inputs_of(rank, step)).square().mean().backward()
            keep_gradients(result, step, model)
            update(model)
        return result

    return run


CASES = {"unused": unused, "join": join, "fp16": compressed(default_hooks.fp16_compress_hook),
         "bf16": compressed(default_hooks.bf16_compress_hook)}


def run_rank(rank, world_size, folder, store):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=world_size, init_method=f"file://{store}")
    for name, case in CASES.items():
        torch.manual_seed(1)
        result = case(rank, world_size)
        if rank == 0:
            save_file(result, folder / f"{name}_{world_size}.safetensors")
        dist.barrier()
    dist.destroy_process_group()


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for world_size in (2, 3):
        store = folder / f"store_{world_size}"
        store.unlink(missing_ok=True)
        context = multiprocessing.get_context("fork")
        ranks = [context.Process(target=run_rank, args=(rank, world_size, folder, store.resolve())) for rank in range(world_size)]
        for rank in ranks:
            rank.start()
        for rank in ranks:
            rank.join()
        if any(rank.exitcode != 0 for rank in ranks):
            sys.exit("a rank failed")


main()

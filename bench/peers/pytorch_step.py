"""PyTorch's side of `lockstep bench step`: one process under torchrun beside each rank of lockstep-bench.

Its rank connects to 127.0.0.1 at the port that --ports names for it, and answers one JSON line with another until the
connection closes. In between it sleeps on that socket. The commands are the methods of Twin.
"""

import argparse
import datetime
import json
import os
import socket
import time

import torch
import torch.distributed as dist
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import fp16_compress_hook
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel

from models import create_model


class Training:
    """The step that bench/training_step.cpp has as well."""

    def __init__(self, model, data, target):
        self.model, self.data, self.target = model, data, target
        self.optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    def step(self):
        self.optimizer.zero_grad(set_to_none=True)
        cross_entropy(self.model(self.data), self.target).backward()
        self.optimizer.step()


class Twin:
    def __init__(self, rank):
        self.rank = rank
        self.trainings = {}

    def hello(self):
        return {"torch": torch.__version__}

    def set_up(self, model, hidden, sample_sizes, num_classes, batch_size, compress):
        self.trainings.clear()
        generator = torch.Generator().manual_seed(1000 + self.rank)
        data = torch.randn(batch_size, *sample_sizes, generator=generator)
        target = torch.randint(num_classes, (batch_size,), generator=generator)

        def make():
            return create_model(model, sample_sizes, num_classes, hidden)

        wrapped = DistributedDataParallel(make())
        if compress:
            wrapped.register_comm_hook(None, fp16_compress_hook)
        self.trainings = {"local": Training(make(), data, target), "ddp": Training(wrapped, data, target)}
        return {}

    def local(self, settle_steps, steps):
        # Gloo's barrier before each step is not counted: all ranks are at work at once, and pay nothing for meeting.
        training, seconds = self.trainings["local"], []
        for index in range(settle_steps + steps):
            dist.barrier()
            begin = time.perf_counter()
            training.step()
            seconds.append(time.perf_counter() - begin)
        return {"seconds": seconds[settle_steps:]}

    def ddp(self, settle_steps, steps):
        training = self.trainings["ddp"]
        for _ in range(settle_steps):
            training.step()
        dist.barrier()
        begin = time.perf_counter()
        for _ in range(steps):
            training.step()
        return {"seconds": [time.perf_counter() - begin]}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ports", required=True, help="one for each rank, with commas between them")
    parser.add_argument("--timeout", type=float, required=True, help="of every wait for another rank, seconds")
    arguments = parser.parse_args()

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    dist.init_process_group("gloo", timeout=datetime.timedelta(seconds=arguments.timeout))
    rank = dist.get_rank()
    twin = Twin(rank)
    with socket.create_connection(("127.0.0.1", int(arguments.ports.split(",")[rank]))) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection.makefile("r") as requests:
            for line in requests:
                request = json.loads(line)
                command = request.pop("do")
                answer = {} if command == "end" else getattr(twin, command)(**request)
                connection.sendall((json.dumps(answer) + "\n").encode())
                if command == "end":
                    break
    dist.destroy_process_group()


if __name__ == "__main__":
    main()

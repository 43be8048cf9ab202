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


def classes_loss(model, data, target):
    return cross_entropy(model(data), target)


def next_token_loss(model, data, target):
    logits = model(input_ids=data).logits
    return cross_entropy(logits.view(-1, logits.shape[-1]), target.view(-1))


def masked_token_loss(model, data, target):
    output = model(input_ids=data[:, 0], token_type_ids=data[:, 1])
    words = output.prediction_logits
    return (cross_entropy(words.view(-1, words.shape[-1]), target[:, :-1].reshape(-1))
            + cross_entropy(output.seq_relationship_logits, target[:, -1]))


def draw_tokens(model, batch_size, length, vocabulary, generator):
    """What TrainingStep::draw_tokens() draws."""
    tokens = torch.randint(vocabulary, (batch_size, length), generator=generator)
    if model.startswith("gpt2"):
        return tokens, torch.randint(vocabulary, (batch_size, length), generator=generator), next_token_loss
    places = torch.arange(length)
    segments = places.ge(length // 2).long().expand(batch_size, length)
    predicted = torch.where(places.remainder(7).eq(0), tokens, -100)
    target = torch.cat([predicted, torch.randint(2, (batch_size, 1), generator=generator)], 1)
    return torch.stack([tokens, segments], 1), target, masked_token_loss


class Training:
    """The step that bench/training_step.cpp has as well."""

    def __init__(self, model, data, target, loss, precision):
        self.model, self.data, self.target, self.loss = model, data, target, loss
        self.precision = precision
        self.optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    def step(self):
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.data.device.type, torch.bfloat16, enabled=self.precision == "bf16-mixed"):
            loss = self.loss(self.model, self.data, self.target)
        loss.backward()
        self.optimizer.step()


class Twin:
    def __init__(self, rank, device):
        self.rank = rank
        self.device = device
        self.trainings = {}

    def hello(self):
        return {"torch": torch.__version__}

    def set_up(self, model, hidden, sample_sizes, num_classes, batch_size, compress, sequence_length, vocabulary_size,
               compiles, precision, channels_last):
        self.trainings.clear()
        generator = torch.Generator().manual_seed(1000 + self.rank)
        if sequence_length:
            from language_models import create_model as create_language_model

            data, target, loss = draw_tokens(model, batch_size, sequence_length, vocabulary_size, generator)
        else:
            data = torch.randn(batch_size, *sample_sizes, generator=generator)
            target, loss = torch.randint(num_classes, (batch_size,), generator=generator), classes_loss

        layout = torch.channels_last if channels_last else torch.preserve_format
        data, target = data.to(self.device), target.to(self.device)
        if channels_last and data.dim() == 4:
            data = data.contiguous(memory_format=layout)

        def make():
            if sequence_length:
                made = create_language_model(model, vocabulary_size)
            else:
                made = create_model(model, sample_sizes, num_classes, hidden)
            return made.to(self.device, memory_format=layout)

        def make_parallel():
            wrapped = DistributedDataParallel(make())
            if compress:
                wrapped.register_comm_hook(None, fp16_compress_hook)
            return wrapped

        models = {"local": make(), "ddp": make_parallel()}
        if compiles:
            models["compiled"] = torch.compile(make_parallel())
        self.trainings = {name: Training(made, data, target, loss, precision) for name, made in models.items()}
        return {}

    def wait_for_device(self):
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def local(self, settle_steps, steps):
        if self.device.type == "cuda":  # the host runs ahead of a GPU, which a barrier would not let it
            return self.together("local", settle_steps, steps)
        # Gloo's barrier before each step is not counted: all ranks are at work at once, and pay nothing for meeting.
        training, seconds = self.trainings["local"], []
        for index in range(settle_steps + steps):
            dist.barrier()
            begin = time.perf_counter()
            training.step()
            seconds.append(time.perf_counter() - begin)
        return {"seconds": seconds[settle_steps:]}

    def ddp(self, settle_steps, steps):
        return self.together("ddp", settle_steps, steps)

    def compiled(self, settle_steps, steps):
        return self.together("compiled", settle_steps, steps)

    def together(self, name, settle_steps, steps):
        training = self.trainings[name]
        for _ in range(settle_steps):
            training.step()
        self.wait_for_device()
        dist.barrier()
        begin = time.perf_counter()
        for _ in range(steps):
            training.step()
        self.wait_for_device()
        return {"seconds": [time.perf_counter() - begin]}


def choose_device(name):
    """The GPU that the rank beside us has, and what carries its gradients: NCCL takes one process a GPU."""
    if name != "cuda":
        return torch.device("cpu"), "gloo"
    gpus = torch.cuda.device_count()
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"]) % gpus)
    torch.cuda.set_device(device)
    return device, "nccl" if int(os.environ["LOCAL_WORLD_SIZE"]) <= gpus else "gloo"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ports", required=True, help="one for each rank, with commas between them")
    parser.add_argument("--timeout", type=float, required=True, help="of every wait for another rank, seconds")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    arguments = parser.parse_args()

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    device, backend = choose_device(arguments.device)
    dist.init_process_group(backend, timeout=datetime.timedelta(seconds=arguments.timeout))
    rank = dist.get_rank()
    twin = Twin(rank, device)
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

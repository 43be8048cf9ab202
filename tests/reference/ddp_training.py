"""The PyTorch DDP run that a Lockstep run equals: torchrun, gloo, the same seed.

    torchrun --nproc-per-node 2 ddp_training.py --data DIR --steps 100 --out FILE.safetensors --losses FILE.jsonl
    torchrun --nproc-per-node 2 ddp_training.py --model gpt2-mini --data text:FILE --steps 100 --out ... --losses ...

Every step's loss is averaged over ranks and written with all its bits. Seeds are Lockstep's: the model is initialised from `seed`
on every rank, and afterwards rank r draws from `seed + r`.

--checkpoint FILE.pt saves {"model", "optimizer", "step"}, as scripts do; --resume FILE.pt goes on from one; --rewrap N makes a new
DistributedDataParallel after every N steps, as one that goes on from a file has. --hashes FILE.jsonl writes what
`lockstep train --record-hashes` writes.
"""

import argparse
import gzip
import itertools
import json
import os
import pathlib
import sys

import numpy
import torch
import torch.distributed as dist
from safetensors.torch import save_file
from torch.distributed.algorithms.ddp_comm_hooks import default_hooks
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset, DistributedSampler

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bench" / "peers"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "python"))
import models  # noqa: E402
from lockstep_hashes import StepHashes  # noqa: E402
import token_data  # noqa: E402

VOCABULARY = 256  # of text: its bytes
FASHION_MNIST_MEAN, FASHION_MNIST_STD = 0.2860, 0.3530


def read_idx(path, header_bytes):
    with gzip.open(path) as file:
        return numpy.frombuffer(file.read(), dtype=numpy.uint8, offset=header_bytes).copy()


class FashionMnist(Dataset):
    def __init__(self, folder):
        labels = read_idx(folder / "train-labels-idx1-ubyte.gz", 8)
        pixels = read_idx(folder / "train-images-idx3-ubyte.gz", 16).reshape(len(labels), 1, 28, 28)
        self.pixels, self.labels = torch.from_numpy(pixels), torch.from_numpy(labels).long()

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        picture = self.pixels[index].float().div(255).sub(FASHION_MNIST_MEAN).div(FASHION_MNIST_STD)
        return picture, self.labels[index]


class Pictures:
    """A classifier of Fashion-MNIST; `data` is its folder."""

    def __init__(self, args):
        self.model = models.create_model(args.model, (1, 28, 28), 10)
        self.data = FashionMnist(pathlib.Path(args.data))

    def loss(self, ddp, pictures, labels):
        return cross_entropy(ddp(pictures), labels)


class NextToken:
    """A language model of text as bytes; `data` is text:FILE."""

    def __init__(self, args):
        import language_models

        self.model = language_models.create_model(args.model, VOCABULARY)
        self.data = token_data.NextTokens(self.tokens(args), args.sequence_length)

    def tokens(self, args):
        return token_data.training_bytes(args.data.removeprefix("text:"), args.sequence_length)

    def loss(self, ddp, tokens, target):
        logits = ddp(input_ids=tokens).logits
        return cross_entropy(logits.view(-1, logits.shape[-1]), target.view(-1))


class Masked(NextToken):
    """BERT with both its tasks, on text as bytes."""

    def __init__(self, args):
        import language_models

        self.model = language_models.create_model(args.model, VOCABULARY + 3)  # [CLS], [SEP], [MASK]
        self.data = token_data.MaskedTokens(self.tokens(args), args.sequence_length, VOCABULARY, args.seed)

    def loss(self, ddp, data, target):
        output = ddp(input_ids=data[:, 0], token_type_ids=data[:, 1])
        words = output.prediction_logits
        return (cross_entropy(words.view(-1, words.shape[-1]), target[:, :-1].reshape(-1))
                + cross_entropy(output.seq_relationship_logits, target[:, -1]))


KINDS = {"mlp": Pictures, "convnet": Pictures, "resnet18": Pictures, "gpt2-mini": NextToken, "bert-mini": Masked}


PRECISIONS = {"32-true": None, "bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


def make_scheduler(optimizer, args):
    if not args.cosine:
        return torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=args.cosine)
    if not args.warmup:
        return cosine
    warmup = torch.optim.lr_scheduler.LinearLR(optimizer, total_iters=args.warmup)
    return torch.optim.lr_scheduler.SequentialLR(optimizer, [warmup, cosine], milestones=[args.warmup])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", default="/usr/share/datasets/fashion-mnist")
    parser.add_argument("--sequence-length", type=int, default=128)
    parser.add_argument("--model", default="mlp", choices=KINDS)
    parser.add_argument("--optimizer", default="sgd", choices=["sgd", "adamw"])
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--lr", type=float, default=0.01)
    parser.add_argument("--momentum", type=float, default=0.9)
    parser.add_argument("--comm-hook", default="none", choices=["none", "fp16", "bf16"])
    parser.add_argument("--precision", default="32-true", choices=PRECISIONS)
    parser.add_argument("--init-scale", type=float, default=65536.0, help="of the GradScaler of 16-mixed")
    parser.add_argument("--growth-interval", type=int, default=2000, help="of the GradScaler of 16-mixed")
    parser.add_argument("--clip", type=float, default=0.0)
    parser.add_argument("--warmup", type=int, default=0, help="steps of LinearLR before --cosine")
    parser.add_argument("--cosine", type=int, default=0, help="steps of CosineAnnealingLR")
    parser.add_argument("--checkpoint")
    parser.add_argument("--resume")
    parser.add_argument("--rewrap", type=int, default=0)
    parser.add_argument("--hashes")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--out", required=True)
    parser.add_argument("--losses", required=True)
    args = parser.parse_args()

    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    rank, world_size = dist.get_rank(), dist.get_world_size()
    torch.manual_seed(args.seed)
    task = KINDS[args.model](args)
    model = task.model
    ddp = DistributedDataParallel(model)
    if args.comm_hook != "none":
        ddp.register_comm_hook(None, getattr(default_hooks, f"{args.comm_hook}_compress_hook"))
    torch.manual_seed(args.seed + rank)
    if args.optimizer == "sgd":
        optimizer = torch.optim.SGD(ddp.parameters(), lr=args.lr, momentum=args.momentum)
    else:
        optimizer = torch.optim.AdamW(ddp.parameters(), lr=args.lr, weight_decay=0.0)

    scaler = torch.amp.GradScaler("cpu", args.init_scale, growth_interval=args.growth_interval,
                                  enabled=args.precision == "16-mixed")
    scheduler = make_scheduler(optimizer, args)
    step = 0
    if args.resume:
        saved = torch.load(args.resume)
        step = saved["step"]
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        scheduler.load_state_dict(saved["scheduler"])
        scaler.load_state_dict(saved["scaler"])
    hashes = StepHashes(ddp, args.hashes, first_step=step + 1) if args.hashes else None

    sampler = DistributedSampler(task.data, seed=args.seed)
    loader = DataLoader(task.data, batch_size=args.batch_size, sampler=sampler)
    losses, first_step = [], step + 1
    while step < args.steps:
        epoch, batches_done = divmod(step, len(loader))
        sampler.set_epoch(epoch)
        for data, target in itertools.islice(loader, batches_done, None):
            if hashes:
                hashes.inputs(data, target)
            optimizer.zero_grad()
            with torch.autocast("cpu", PRECISIONS[args.precision], enabled=args.precision != "32-true"):
                loss = task.loss(ddp, data, target)
            scaler.scale(loss).backward()
            if args.clip:
                scaler.unscale_(optimizer)
                torch.nn.utils.clip_grad_norm_(model.parameters(), args.clip)
            scaler.step(optimizer)
            scaler.update()
            if hashes:
                hashes.step()
            scheduler.step()
            total = loss.detach().double()
            dist.all_reduce(total)
            losses.append(total.item() / world_size)
            step += 1
            if args.rewrap and step % args.rewrap == 0:
                ddp = DistributedDataParallel(model)
            if step == args.steps:
                break
        torch.empty((), dtype=torch.int64).random_()  # what iter(DataLoader) draws for the evaluation that ends an epoch

    if rank == 0:
        # A parameter that two modules share is saved once, as Hugging Face does.
        state = dict(model.named_parameters()) | {name: model.state_dict()[name] for name, _ in model.named_buffers()
                                                  if name in model.state_dict()}
        save_file({name: tensor.detach().contiguous() for name, tensor in state.items()}, args.out)
        with open(args.losses, "w") as file:
            for step, value in enumerate(losses, start=first_step):
                file.write(json.dumps({"step": step, "loss": value}) + "\n")
        if args.checkpoint:
            torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict(),
                        "scaler": scaler.state_dict(), "step": step}, args.checkpoint)
    dist.destroy_process_group()
    # Not by returning: the Reducer's destructor would join Gloo's thread with the GIL held, and that thread may want the GIL.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()

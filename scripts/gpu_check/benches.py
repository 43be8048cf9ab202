"""The benchmarks, the most important first."""

import typing

RESNET50 = ["--model", "resnet50", "--sample-sizes", "3,224,224", "--num-classes", "1000", "--channels-last"]
GPT2 = ["--model", "gpt2", "--sequence-length", "1024"]
BF16 = ["--precision", "bf16-mixed"]
STEP = ["bench", "step", "--device", "cuda", "--contenders"]
REDUCE = ["bench", "all-reduce", "--device", "cuda", "-b", "4K", "-f", "16"]
ONE, TWO = ["--nproc-per-node", "1"], ["--nproc-per-node", "2"]
EAGER = "local,averaged"
CAPTURED = "averaged,captured"  # in runs of their own: a capture that is refused ends its run


class Bench(typing.NamedTuple):
    part: str
    name: str
    arguments: list  # of lockstep
    environment: dict  # that it adds


class Batches(typing.NamedTuple):
    """Samples in a batch of each model."""
    images: int
    small_images: int
    sequences: int
    small_sequences: int


FULL = Batches(256, 16, 16, 1)
QUICK = Batches(32, 8, 4, 2)  # none of FULL's, so that no bar is taken for measured


class Peers(typing.NamedTuple):
    """What PyTorch can do here."""
    python: str
    compiles: bool
    has_gpt2: bool  # which is Hugging Face's

    def of(self, model, pytorch):
        compared = ([pytorch] + ["compile"] * self.compiles) if model is RESNET50 or self.has_gpt2 else []
        return ["--compare", ",".join(compared), "--python", self.python] if compared else []


def step(name, contenders, model, batch, options):
    return Bench("step", name, [*STEP, contenders, *ONE, *model, *BF16, "--batch-size", str(batch), *options], {})


def benches(quick, preload, peers):
    rounds = ["--rounds", "3", "--warmup-rounds", "1"] if quick else ["--rounds", "9", "--warmup-rounds", "2"]
    steps = [*rounds, "--settle-steps", "2", "--steps", "5" if quick else "20"]
    most = ["-e", "1M" if quick else "256M"]
    batches = QUICK if quick else FULL
    images, small = f"resnet50, batch {batches.images}", f"resnet50, batch {batches.small_images}"
    sequences, few = f"gpt2, batch {batches.sequences}", f"gpt2, batch {batches.small_sequences}"
    found = [
        step(images, EAGER, RESNET50, batches.images, [*steps, *peers.of(RESNET50, "pytorch")]),
        step(sequences, EAGER, GPT2, batches.sequences, [*steps, *peers.of(GPT2, "pytorch")]),
        step(f"{images}, captured", CAPTURED, RESNET50, batches.images, [*steps, *peers.of(RESNET50, "pytorch-ddp")]),
        step(f"{small}, captured", CAPTURED, RESNET50, batches.small_images, [*steps, *peers.of(RESNET50, "pytorch-ddp")]),
        step(f"{sequences}, captured", CAPTURED, GPT2, batches.sequences, [*steps, *peers.of(GPT2, "pytorch-ddp")]),
        step(f"{few}, captured", CAPTURED, GPT2, batches.small_sequences, [*steps, *peers.of(GPT2, "pytorch-ddp")]),
        Bench("all-reduce", "all-reduce, one rank", [*REDUCE, *ONE, *most, "--backend", "nccl", "--reduction-order", "fast"], {}),
    ]
    on_two = [*RESNET50, *BF16, "--batch-size", str(batches.small_images), *rounds]
    staged = [*TWO, "--backend", "mpi"]
    found += [
        Bench("all-reduce", "all-reduce, two ranks through the host", [*REDUCE, *staged, *most, "--reduction-order", "tree"], {}),
        Bench("step", "resnet50, two ranks through the host", [*STEP, EAGER, *staged, *on_two], {}),
    ]
    return found + (on_shared_gpu(preload, most, on_two) if preload else [])


def on_shared_gpu(preload, most, on_two):
    shared = [*TWO, "--backend", "nccl", "--share-gpus"]
    reductions = [Bench("all-reduce", f"all-reduce, two ranks through NCCL, order {order}",
                        [*REDUCE, *shared, *most, "--reduction-order", order], preload) for order in ("fast", "tree")]
    return [*reductions, Bench("step", "resnet50, two ranks through NCCL", [*STEP, EAGER, *shared, *on_two], preload)]

"""What a GPU has to show before the project's work on it counts as done, beside what was measured."""

import typing

from gpu_check.benches import FULL
from gpu_check.tables import format_rows, median_steps, ratio

IMAGES, SMALL_IMAGES = f"resnet50, batch {FULL.images}", f"resnet50, batch {FULL.small_images}"
SEQUENCES, FEW_SEQUENCES = f"gpt2, batch {FULL.sequences}", f"gpt2, batch {FULL.small_sequences}"


class Bar(typing.NamedTuple):
    what: str
    least: float
    theirs: str  # the contender whose time is divided by ours
    ours: list  # pairs of a benchmark and our contender in it: the best of them counts


BARS = [
    *(Bar(f"{bench}: averaged over PyTorch DDP", 1.00, "pytorch ddp", [(bench, "averaged")]) for bench in (IMAGES, SEQUENCES)),
    *(Bar(f"{bench}: captured over PyTorch DDP", least, "pytorch ddp", [(f"{bench}, captured", "captured")])
      for bench, least in ((IMAGES, 1.15), (SEQUENCES, 1.15), (SMALL_IMAGES, 1.50), (FEW_SEQUENCES, 1.50))),
    *(Bar(f"{bench}: the better over torch.compile", 0.95, "pytorch compiled", [(bench, "averaged"), (f"{bench}, captured", "captured")])
      for bench in (IMAGES, SEQUENCES)),
]
MOST_OVERHEAD = 0.01


def bars_of(entries):
    found = {entry["name"]: steps[0] for entry in entries if entry["result"] and (steps := median_steps(entry))}
    alone = ratio(found.get(IMAGES, {}), "averaged", "local")
    rows = [{"bar": f"{IMAGES}, bf16, channels-last: DDP on one rank over none <= {100 * MOST_OVERHEAD:g} %",
             "measured": None if alone is None else f"{100 * (alone - 1):.2f} %", "reached": alone is not None and alone - 1 <= MOST_OVERHEAD}]
    for bar in BARS:
        measured = max(filter(None, (ratio(found.get(bench, {}), bar.theirs, ours) for bench, ours in bar.ours)), default=None)
        rows.append({"bar": f"{bar.what} >= {bar.least:.2f}", "measured": None if measured is None else f"{measured:.3f}",
                     "reached": measured is not None and measured >= bar.least})
    return rows


def format_bars(bars):
    return format_rows(["bar", "measured", "reached"],
                       [[row["bar"], row["measured"] or "not measured", "-" if row["measured"] is None else "yes" if row["reached"] else "NO"]
                        for row in bars])

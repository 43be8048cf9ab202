"""Writes the bits that PyTorch gives for normalised pixels, for the tests of tests/sampler.

Usage: pixel_normalization.py OUT. One line for each (mean, std): both, then the 256 results as int32 bit patterns.
"""

import sys

import torch


def main(out):
    pixels = torch.arange(256, dtype=torch.uint8)
    with open(out, "w") as file:
        for mean, std in (
            (0.2860, 0.3530), (0.1307, 0.3081), (0.0, 1.0), (0.5, 0.5), (0.123, 0.0457),
            (0.4914, 0.2470), (0.4822, 0.2435), (0.4465, 0.2616),
        ):
            values = pixels.float().div(255).sub(mean).div(std)
            file.write(" ".join([str(mean), str(std), *map(str, values.view(torch.int32).tolist())]) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])

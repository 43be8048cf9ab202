"""Writes the bits that PyTorch gives for normalised pixels, for tests/sampler/idx_dataset_test.cpp.

Usage: pixel_normalization.py OUT. One line for each (mean, std): both, then the 256 results as int32 bit patterns.
"""

import sys

import torch


def main(out):
    pixels = torch.arange(256, dtype=torch.uint8)
    with open(out, "w") as file:
        for mean, std in ((0.2860, 0.3530), (0.1307, 0.3081), (0.0, 1.0), (0.5, 0.5), (0.123, 0.0457)):
            values = pixels.float().div(255).sub(mean).div(std)
            file.write(" ".join([str(mean), str(std), *map(str, values.view(torch.int32).tolist())]) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])

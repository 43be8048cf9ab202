"""Writes what torch.utils.data.DistributedSampler gives, for tests/sampler/distributed_sampler_test.cpp.

Usage: distributed_sampler.py OUT. One line a case: N W epoch drop_last shuffle seed, then the number of samples per
rank and the indices of rank 0, of rank 1, ...
"""

import itertools
import sys

from torch.utils.data import DistributedSampler


def cases():
    sizes = (1, 2, 3, 5, 7, 8, 10, 16, 17, 100, 101, 1000)
    yield from itertools.product(sizes, range(1, 9), (0, 1, 5), (False, True), (False, True), (0, 42))
    # The real size: a seed that fills 63 bits as well.
    yield from itertools.product((60000,), (1, 2, 7, 8), (0, 3), (False, True), (True,), (42, 2**63 - 100))


def main(out):
    with open(out, "w") as file:
        for samples, ranks, epoch, drop_last, shuffle, seed in cases():
            if drop_last and samples < ranks:
                continue  # PyTorch gives every rank nothing; Lockstep refuses
            numbers = [samples, ranks, epoch, int(drop_last), int(shuffle), seed]
            for rank in range(ranks):
                sampler = DistributedSampler(
                    range(samples), ranks, rank, shuffle=shuffle, seed=seed, drop_last=drop_last
                )
                sampler.set_epoch(epoch)
                if rank == 0:
                    numbers.append(len(sampler))
                numbers.extend(sampler)
            file.write(" ".join(map(str, numbers)) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])

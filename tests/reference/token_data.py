"""The data sets of tokens that sampler/ has, written anew in Python by the rules in docs/parity.md.

Imported by ddp_training.py. As a script, token_data.py OUT writes what tests/sampler/masked_token_dataset_test.cpp expects: for each
case a line "length vocabulary seed split number-of-samples", and then a line of data and target for each sample.
"""

import sys

import torch
from torch.utils.data import Dataset

MASK64 = (1 << 64) - 1
IGNORED = -100
MASKING_STREAM = 10


def mix(x):
    """splitmix64's next number from state x (Steele, Lea, Flood 2014)."""
    x = (x + 0x9E3779B97F4A7C15) & MASK64
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK64
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK64
    return x ^ (x >> 31)


def draws(seed, purpose, index):
    key = mix((mix((mix(seed) + purpose) & MASK64) + index) & MASK64)
    counter = 0
    while True:
        yield mix((key + counter) & MASK64)
        counter += 1


class NextTokens(Dataset):
    """Sample i: tokens [i T, i T + T) and, as the target, those one place further."""

    def __init__(self, tokens, length):
        self.tokens, self.length = torch.as_tensor(tokens).long(), length

    def __len__(self):
        return (len(self.tokens) - 1) // self.length

    def __getitem__(self, index):
        begin = index * self.length
        return self.tokens[begin:begin + self.length], self.tokens[begin + 1:begin + self.length + 1]


class MaskedTokens(Dataset):
    """BERT's samples by the rule in docs/parity.md; the special tokens are the three after the vocabulary."""

    def __init__(self, tokens, length, vocabulary, seed, split=0):
        self.tokens, self.content, self.vocabulary = list(map(int, tokens)), length - 3, vocabulary
        self.seed, self.split = seed, split
        self.cls, self.sep, self.mask = vocabulary, vocabulary + 1, vocabulary + 2

    def __len__(self):
        return len(self.tokens) // self.content

    def __getitem__(self, index):
        content, total = self.content, len(self.tokens)
        first = (content + 1) // 2
        second = content - first
        random = draws(self.seed, MASKING_STREAM + self.split, index)
        begin = index * content
        elsewhere = next(random) % 2
        place = begin + first
        if elsewhere:
            drawn = next(random) % (total - second)
            place = drawn + 1 if drawn >= place else drawn
        words = self.tokens[begin:begin + first] + self.tokens[place:place + second]
        labels = [IGNORED] * content
        order = list(range(content))
        for i in range(max(1, (15 * content + 50) // 100)):
            j = i + next(random) % (content - i)
            order[i], order[j] = order[j], order[i]
            chosen = order[i]
            labels[chosen] = words[chosen]
            tenth = next(random) % 10
            if tenth < 8:
                words[chosen] = self.mask
            elif tenth == 8:
                words[chosen] = next(random) % self.vocabulary
        tokens = [self.cls, *words[:first], self.sep, *words[first:], self.sep]
        segments = [0] * (first + 2) + [1] * (second + 1)
        target = [IGNORED, *labels[:first], IGNORED, *labels[first:], IGNORED, elsewhere]
        return torch.tensor([tokens, segments]), torch.tensor(target)


def training_bytes(path, length):
    """What `--data text:FILE` trains on: all but the last tenth, or the last sample where that is more."""
    with open(path, "rb") as file:
        content = file.read()
    return list(content[:len(content) - max(len(content) // 10, length + 1)])


def main(out):
    tokens = [(7 * i * i + 3 * i) % 97 for i in range(500)]  # as in the test
    with open(out, "w") as file:
        for length, vocabulary, seed, split in ((5, 97, 0, 0), (32, 97, 42, 0), (33, 200, 42, 1), (500, 97, 2**63, 0)):
            data = MaskedTokens(tokens, length, vocabulary, seed, split)
            file.write(f"{length} {vocabulary} {seed} {split} {len(data)}\n")
            for i in range(len(data)):
                sample, target = data[i]
                file.write(" ".join(map(str, [*sample.flatten().tolist(), *target.tolist()])) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])

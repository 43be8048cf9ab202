"""published_models_reference.py DIR: what torchvision and Hugging Face make of their models, for published_models_test.cpp.

For each case DIR/<case>.safetensors holds: initial.<name> (parameters and buffers), generator (its state after the construction),
input, target, eval_logits, and, after torch.manual_seed(DROPOUT_SEED), train_logits, loss and, where asked for, grad.<name>;
DIR/<case>.names holds the names of the parameters, then of the buffers that are saved, in their order. One CPU thread.
"""

import pathlib
import sys

import torch
import torchvision
from safetensors.torch import save_file
from torch.nn.functional import cross_entropy

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bench" / "peers"))
from language_models import create_model  # noqa: E402

SEED = 7
DROPOUT_SEED = 11
IGNORED = -100
BATCH_SIZE = 2
SEQUENCE_LENGTH = 20
CASES = {  # name: (vocabulary, whether gradients are compared); the test has the same table
    "resnet18": (None, False),
    "resnet34": (None, True),
    "resnet50": (None, False),
    "resnet101": (None, False),
    "gpt2-mini": (256, True),
    "bert-mini": (259, True),
    "gpt2": (50257, False),
    "bert-base": (30522, False),
}


class Pictures:
    def __init__(self, name, _):
        self.model = getattr(torchvision.models, name)(weights=None)
        self.data = (BATCH_SIZE, 3, 64, 64)

    def make_batch(self, generator):
        return torch.randn(self.data, generator=generator), torch.randint(1000, (BATCH_SIZE,), generator=generator)

    def __call__(self, data, target):
        logits = self.model(data)
        return logits, cross_entropy(logits, target)


class NextToken:
    def __init__(self, name, vocabulary):
        self.model, self.vocabulary = create_model(name, vocabulary), vocabulary

    def make_batch(self, generator):
        tokens = torch.randint(self.vocabulary, (BATCH_SIZE, SEQUENCE_LENGTH), generator=generator)
        return tokens, torch.cat([tokens[:, 1:], torch.full((BATCH_SIZE, 1), IGNORED)], dim=1)

    def __call__(self, data, target):
        output = self.model(input_ids=data, labels=data)  # it shifts the labels itself
        return output.logits, output.loss


class Masked(NextToken):
    def make_batch(self, generator):
        tokens = torch.randint(self.vocabulary, (BATCH_SIZE, SEQUENCE_LENGTH), generator=generator)
        segments = (torch.arange(SEQUENCE_LENGTH) >= SEQUENCE_LENGTH // 2).long().expand(BATCH_SIZE, -1)
        labels = torch.where(torch.rand(tokens.shape, generator=generator) < 0.3, tokens, IGNORED)
        relation = torch.randint(2, (BATCH_SIZE, 1), generator=generator)
        return torch.stack([tokens, segments], dim=1), torch.cat([labels, relation], dim=1)

    def __call__(self, data, target):
        output = self.model(input_ids=data[:, 0], token_type_ids=data[:, 1], labels=target[:, :-1].contiguous(),
                            next_sentence_label=target[:, -1].contiguous())
        return torch.cat([output.prediction_logits.reshape(-1), output.seq_relationship_logits.reshape(-1)]), output.loss


def main(directory):
    directory.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    for case, (vocabulary, with_gradients) in CASES.items():
        kind = Pictures if vocabulary is None else NextToken if case.startswith("gpt2") else Masked
        torch.manual_seed(SEED)
        run = kind(case, vocabulary)
        tensors = {"generator": torch.get_rng_state()}
        parameters = dict(run.model.named_parameters())
        buffers = {name: buffer for name, buffer in run.model.named_buffers() if name in run.model.state_dict()}
        for name, value in (parameters | buffers).items():
            tensors["initial." + name] = value.detach().clone()
        data, target = run.make_batch(torch.Generator().manual_seed(1000))
        tensors["input"], tensors["target"] = data.contiguous(), target.contiguous()
        run.model.eval()
        with torch.no_grad():
            tensors["eval_logits"] = run(data, target)[0]
        run.model.train()
        torch.manual_seed(DROPOUT_SEED)
        logits, loss = run(data, target)
        tensors["train_logits"], tensors["loss"] = logits.detach(), loss.detach()
        if with_gradients:
            loss.backward()
            for name, value in parameters.items():
                tensors["grad." + name] = value.grad
        save_file({name: value.contiguous() for name, value in tensors.items()}, directory / f"{case}.safetensors")
        (directory / f"{case}.names").write_text("".join(name + "\n" for name in [*parameters, *buffers]))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))

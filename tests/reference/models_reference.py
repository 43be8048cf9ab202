"""models_reference.py DIR: what PyTorch makes of the twin models, for tests/trainer/models/models_test.cpp.

For each case DIR/<case>.safetensors holds: initial.<name> (parameters and buffers), generator (its state after the
construction), input, target, logits, grad.<name>, and after.<name> (buffers after one forward pass);
DIR/<case>.names holds the parameters' and then the buffers' names in their order. One CPU thread.
"""

import pathlib
import sys

import torch
from safetensors.torch import save_file

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bench" / "peers"))
from models import create_model  # noqa: E402

SEED = 7
CASES = {  # name: (model, batch size, sizes of a sample, classes); the test has the same table
    "mlp": ("mlp", 16, (1, 28, 28), 10),
    "convnet": ("convnet", 16, (1, 28, 28), 10),
    "convnet_color": ("convnet", 3, (3, 33, 20), 7),
    "resnet18": ("resnet18", 2, (3, 64, 80), 1000),
    "resnet18_small": ("resnet18", 3, (1, 28, 28), 10),
    "resnet50": ("resnet50", 2, (3, 64, 64), 10),
}


def main(directory):
    directory.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    for case, (name, batch_size, sizes, num_classes) in CASES.items():
        data_generator = torch.Generator().manual_seed(1000 + batch_size)
        data = torch.randn(batch_size, *sizes, generator=data_generator)
        target = torch.randint(num_classes, (batch_size,), generator=data_generator)

        torch.manual_seed(SEED)
        model = create_model(name, sizes, num_classes)
        tensors = {"generator": torch.get_rng_state(), "input": data, "target": target}
        for key, value in model.state_dict().items():
            tensors["initial." + key] = value.clone()
        logits = model(data)
        tensors["logits"] = logits.detach()
        torch.nn.functional.cross_entropy(logits, target).backward()
        for key, value in model.named_parameters():
            tensors["grad." + key] = value.grad
        for key, value in model.named_buffers():
            tensors["after." + key] = value

        save_file(tensors, directory / f"{case}.safetensors")
        names = [key for key, _ in model.named_parameters()] + [key for key, _ in model.named_buffers()]
        (directory / f"{case}.names").write_text("".join(key + "\n" for key in names))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))

"""python_checkpoints.py DIR: files as PyTorch scripts save them, for tests/trainer/exchange/python_checkpoint_test.cpp.

A model of a Linear and a BatchNorm after three steps of AdamW; expected.safetensors holds what is to be found in them.
"""

import argparse
import pathlib
import sys

import torch
from safetensors.torch import save_file


def main(directory):
    directory.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(3)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.02, betas=(0.8, 0.95), weight_decay=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.randn(5, 3)).square().sum().backward()
        optimizer.step()
    state = model.state_dict()
    whole = {"model": state, "optimizer": optimizer.state_dict(), "step": 3, "random_states": [torch.get_rng_state()] * 2}
    prefixed = {"module." + name: tensor for name, tensor in state.items()}

    torch.save(state, directory / "state_dict.pt")  # an OrderedDict with attributes
    torch.save(dict(state), directory / "dict.pt")
    torch.save(dict(model.named_parameters()), directory / "parameters.pt")
    torch.save(prefixed, directory / "module.pt")
    save_file(prefixed, directory / "module.safetensors")
    torch.save(whole, directory / "whole.pt")
    torch.save({"model_state_dict": prefixed, "optimizer_state_dict": optimizer.state_dict(), "global_step": 3, "note": "x"},
               directory / "other_names.pt")
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)  # without momentum: its state is empty
    torch.save({"model": state, "optimizer": sgd.state_dict()}, directory / "sgd.pt")

    torch.save({"model": state, "args": argparse.Namespace(lr=0.1)}, directory / "namespace.pt")
    torch.save(model, directory / "module_object.pt")
    torch.save({"model": state, "device": torch.device("cpu")}, directory / "device.pt")
    torch.save({"model": {**state, "epoch": 3}}, directory / "epoch_inside.pt")
    torch.save({"weights": state}, directory / "no_model.pt")
    torch.save({"model": state, "optimizer": {"lr": 0.1}}, directory / "no_optimizer.pt")
    groups = torch.optim.SGD([{"params": [p]} for p in model.parameters()], lr=0.1)
    torch.save({"model": state, "optimizer": groups.state_dict()}, directory / "groups.pt")
    amsgrad = torch.optim.Adam(model.parameters(), amsgrad=True)
    torch.save({"model": state, "optimizer": amsgrad.state_dict()}, directory / "amsgrad.pt")
    torch.save({"model": state, "step": "three"}, directory / "step.pt")

    expected = {"model." + name: tensor.clone() for name, tensor in state.items()}
    for index, entries in optimizer.state_dict()["state"].items():
        expected |= {f"optimizer.{index}.{name}": tensor.clone() for name, tensor in entries.items()}
    expected["random_state"] = torch.get_rng_state()
    save_file(expected, directory / "expected.safetensors")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))

"""The hashes of `lockstep train --record-hashes` for a PyTorch script, so that `lockstep compare` finds where the two part.

    from lockstep_hashes import StepHashes
    hashes = StepHashes(model, "hashes.jsonl")       # the model, wrapped in DistributedDataParallel or not
    for inputs, targets in loader:
        hashes.inputs(inputs, targets)               # each batch, before its backward pass
        ...                                          # forward, backward, optimizer.step()
        hashes.step()                                # after the update, before gradients are cleared

A line is a step: SHA-256 of the bytes of each rank's inputs, of each rank's own gradient of every parameter before it is
reduced, of the reduced gradients and of the weights. Copy this file, or put its folder on PYTHONPATH. Needs PyTorch only.
"""

import hashlib
import json

import torch
import torch.distributed as dist


def _bytes(tensor):
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()


def _hash(tensor):
    return hashlib.sha256(b"" if tensor is None else _bytes(tensor)).hexdigest()


class StepHashes:
    """Every rank makes one; rank 0 appends to `path`. `first_step` is the number of the first step() to come."""

    def __init__(self, model, path, first_step=1):
        self._model = model.module if isinstance(model, torch.nn.parallel.DistributedDataParallel) else model
        self._distributed = dist.is_available() and dist.is_initialized()
        self._file = open(path, "a", encoding="utf-8") if not self._distributed or dist.get_rank() == 0 else None
        self._step = first_step
        self._begin()
        for name, parameter in self._trained():
            parameter.register_hook(lambda gradient, name=name: self._gradients[name].update(_bytes(gradient)))

    def _trained(self):
        return [(name, parameter) for name, parameter in self._model.named_parameters() if parameter.requires_grad]

    def _begin(self):
        self._inputs = hashlib.sha256()
        self._gradients = {name: hashlib.sha256() for name, _ in self._trained()}

    def _weights(self):
        """Parameters and buffers that are saved; a tensor of several names (tied weights) under its first."""
        hashes, seen = {}, set()
        for name, tensor in self._model.state_dict().items():
            place = (tensor.data_ptr(), tensor.shape)
            if tensor.numel() == 0 or place not in seen:
                hashes[name] = _hash(tensor)
                seen.add(place)
        return hashes

    def inputs(self, *tensors):
        """What the model and the loss of one batch are given, in the order (inputs, targets)."""
        for tensor in tensors:
            self._inputs.update(_bytes(tensor))

    def step(self):
        """Writes the step's line. A collective."""
        mine = (self._inputs.hexdigest(), {name: hash.hexdigest() for name, hash in self._gradients.items()})
        ranks = [mine]
        if self._distributed:
            ranks = [None] * dist.get_world_size()
            dist.all_gather_object(ranks, mine)
        if self._file is not None:
            line = {
                "step": self._step,
                "inputs": [inputs for inputs, _ in ranks],
                "gradients": {name: [gradients[name] for _, gradients in ranks] for name, _ in self._trained()},
                "reduced": {name: _hash(parameter.grad) for name, parameter in self._trained()},
                "weights": self._weights(),
            }
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()
        self._step += 1
        self._begin()

// train_state.pt: nested dicts and lists of int, float, bool, None, str and tensors, in PyTorch's own archive
// format. Python opens it with torch.load at its safe default (weights_only=True), and we read what
// torch.save writes of such things.
#pragma once

#include <ATen/core/ivalue.h>

#include <filesystem>

#include "trainer/checkpoint/durable_file.h"

namespace lockstep {

// Creates `path` (it must not exist) and returns when it is on the disk. Dict keys are str or int; tensors
// may be on any device and are stored as contiguous CPU tensors without requires_grad. Throws
// std::invalid_argument, with the place in the state, for anything else, DataError if it cannot be written.
FileDigest write_train_state(const std::filesystem::path& path, const c10::IValue& state);

// Dicts are c10::impl::GenericDict and lists c10::impl::GenericList, both of Any; tensors are on the CPU.
// Executes nothing and trusts no size. Throws DataError naming the file and what is wrong.
c10::IValue read_train_state(const std::filesystem::path& path);

}  // namespace lockstep

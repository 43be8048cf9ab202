// NamedTensors: a model's state as names and tensors, and how it gets back into a model.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <utility>
#include <vector>

namespace lockstep {

// Names and tensors in order: parameters first, then buffers, as in Python's state_dict().
using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

// Copies each tensor of `from` into the tensor of `into` that has its name, in place, whatever the order and
// devices. Where every name of `from` starts with "module." (Python's DDP saves so) and those of `into` do
// not, that prefix is dropped. Throws DataError naming `source` (a file, for example), *all* names that are
// missing, left over, misnamed (a missing one and a left over one much like it), given twice, or differ in
// shape or dtype, and what to do (`advice`); then nothing has been copied.
void load_into(const NamedTensors& from, const NamedTensors& into, const std::string& source,
               const std::string& advice);

// Python's DDP puts "module." before every name of a model; this drops it where all names begin with it.
NamedTensors without_ddp_prefix(NamedTensors tensors);

}  // namespace lockstep

// Reads the part of Python's pickle format (protocol 2) in which torch.save and torch::jit::Pickler write
// nested dicts, lists, tuples, numbers, texts and tensors. A pickle is a program; this interpreter knows only
// the operations that build data, calls nothing, and refuses everything else.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace lockstep {

// Gives the CPU tensor (numel) of dtype `type` that the archive stores under `key`. Throws DataError unless
// the archive holds exactly so many bytes there.
using StorageReader =
    std::function<at::Tensor(const std::string& key, at::ScalarType type, std::int64_t numel)>;

// Dicts come back as c10::impl::GenericDict and lists as c10::impl::GenericList, both of Any. Throws
// DataError.
c10::IValue read_pickle(std::string_view pickle, const StorageReader& read_storage);

}  // namespace lockstep

// The safetensors format (https://huggingface.co/docs/safetensors): u64 little-endian header length, a JSON
// header with each tensor's dtype, shape and place, then the tensors' bytes without gaps. Python opens what
// we write with safetensors.torch.load_file, and we read what Python writes. Nothing in a file is executed.
#pragma once

#include <filesystem>

#include "trainer/checkpoint/durable_file.h"
#include "trainer/checkpoint/named_tensors.h"

namespace lockstep {

// Creates `path` (it must not exist) and returns when it is on the disk. The header names the tensors in
// their given order and is padded to 8 bytes; the bytes lie widest dtype first, so that every tensor is
// aligned. Tensors may be on any device and of dtype float64, float32, float16, bfloat16, int64, int32,
// int16, int8, uint8 or bool. Throws std::invalid_argument for another dtype or a name given twice, DataError
// if the file cannot be written.
FileDigest write_safetensors(const std::filesystem::path& path, const NamedTensors& tensors);

// Returns CPU tensors with memory of their own, in the header's order. Trusts nothing: what the header claims
// is checked against the file's size before anything is allocated. Throws DataError naming the file and the
// first thing wrong.
NamedTensors read_safetensors(const std::filesystem::path& path);

}  // namespace lockstep

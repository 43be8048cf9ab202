// In which order ranks are added up, and what a tensor must be like to be communicated.
#pragma once

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cstdint>
#include <string>

#include "comm/communicator.h"

namespace lockstep {

// Gloo's ring cuts `count` elements into world_size chunks; chunk c is summed from the left over ranks c-1,
// c-2, ..., c (mod world_size). From gloo/allreduce.cc (ring algorithm, 1 MiB segments), as PyTorch 2.11 uses
// it:
//   segments = roundup(max(ceil(bytes / 1 MiB), 2 W), W);  segment = roundup(ceil(bytes / segments), element
//   size); chunk = segments / W * segment.  The last chunks may be short or empty.
struct RingChunks {
  std::int64_t chunk_elements;
  std::int64_t count;

  std::int64_t begin(int chunk) const { return std::min(count, chunk * chunk_elements); }
  std::int64_t end(int chunk) const { return std::min(count, (chunk + 1) * chunk_elements); }
};
RingChunks ring_chunks(std::int64_t count, std::int64_t element_bytes, int world_size);

// A rank's share of `count` elements, cut at cache lines so that no two ranks write to one.
struct Part {
  std::int64_t begin = 0;
  std::int64_t end = 0;
};
Part part_of(std::int64_t count, std::int64_t element_bytes, int rank, int world_size);

// "all_reduce #7 (float32[1000])": how errors name a collective.
std::string describe_collective(const std::string& name, std::uint64_t sequence, at::ScalarType dtype,
                                std::int64_t count);

// Throws std::invalid_argument, naming `collective`, unless `tensor` is defined, dense, contiguous and of a
// listed dtype.
void check_collective_tensor(const at::Tensor& tensor, const char* collective);
// Throws std::invalid_argument unless `root` is a rank.
void check_root(int root, int world_size);
// The same for the output and input of all_gather (`input` is one block of `output`) and reduce_scatter
// (reversed).
void check_collective_blocks(const at::Tensor& block, const at::Tensor& blocks, int world_size,
                             const char* collective);
// The same for those of send_receive: two tensors of one size, dtype and device that share no memory.
void check_send_receive(const at::Tensor& output, const at::Tensor& input);

}  // namespace lockstep

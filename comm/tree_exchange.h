// A sum in order kTree as a scatter, an addition and a gather, for those who carry GPU tensors.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace lockstep {

// One rank's part. `tensor` is cut into a piece for each rank. Every rank sends piece(p) to each other rank
// p, receives what p sends into place(p), calls add_up(), and gathers everybody's sum() into gathered(), in
// rank order; finish() brings the result into the tensor. The bits are those of the CPU's tree (comm/fold.h,
// comm/sum_rows.h). Everything is queued on the current stream.
class TreeExchange {
 public:
  // `tensor` is contiguous. `piece_elements`: 0 for pieces of equal size (the last ones may be short or
  // empty, so that each begins at a multiple of 16 bytes).
  TreeExchange(const at::Tensor& tensor, int rank, int world_size, std::int64_t piece_elements = 0);

  // Of equal size for the two ranks, and possibly empty.
  at::Tensor piece(int peer) const;
  at::Tensor place(int peer) const;

  // To sum(), or to `output` (size of this rank's piece).
  void add_up() { add_up(sum_.narrow(0, 0, size(rank_))); }
  void add_up(const at::Tensor& output);

  // (piece) and (world_size * piece)
  const at::Tensor& sum() const { return sum_; }
  const at::Tensor& gathered() const { return gathered_; }
  void prepare_to_gather();
  void finish();

 private:
  std::int64_t begin(int piece) const;
  std::int64_t size(int piece) const { return begin(piece + 1) - begin(piece); }

  at::Tensor flat_;
  int rank_;
  int world_size_;
  std::int64_t piece_elements_;
  at::Tensor rows_;  // (world_size, piece): everybody's part of this rank's piece
  at::Tensor sum_;
  at::Tensor gathered_;
};

}  // namespace lockstep

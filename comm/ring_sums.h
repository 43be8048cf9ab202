// What each participant of a ring adds up where several tensors are its own: those of the ranks of a machine,
// or of the logical ranks of one process. Not for use outside comm/.
#pragma once

#include <cstdint>
#include <vector>

#include "comm/collective.h"
#include "comm/reduction.h"

namespace lockstep {

// A range of bytes of a tensor.
struct ByteRange {
  std::int64_t begin = 0;
  std::int64_t end = 0;
  std::int64_t size() const { return end - begin; }
};

// P participants have K tensors each, tensor k of participant p being that of rank pK + k of L = PK. Order
// kPytorch wants chunk c of L as the left fold over ranks c-1, c-2, ..., c (mod L), which visits participant
// after participant leftwards, beginning and ending at c / K: there the fold begins with the tensors below c
// and ends with the others. Participant p therefore completes the chunks pK ... pK+K-1, its superchunk, whose
// first chunk alone begins at its left neighbour. K = 1 is the plain ring.
//
// In reduce-scatter the chunks are equal blocks, else Gloo's (comm/reduction.h). Results go to `result`,
// which may be the first tensor and none of the others. Ranges lie within a superchunk.
class RingSums {
 public:
  RingSums(const CollectiveSignature& signature, int participants, int participant,
           const std::vector<void*>& tensors, void* result);

  ByteRange superchunk(int participant) const;
  // The first of its chunks.
  ByteRange first_chunk(int participant) const;

  // The beginning of this participant's own superchunk, without its first chunk: tensors below the chunk's.
  void begin(ByteRange range) const;
  // The beginning of the first chunk of the superchunk to the right: all tensors.
  void begin_first_chunk(ByteRange range) const;
  // All tensors added to what came from the right.
  void add(ByteRange range, const void* partial_sum) const;
  // The end of this participant's own superchunk: the tensors from the chunk's own on.
  void finish(ByteRange range, const void* partial_sum) const;

 private:
  int wrap(int participant) const { return (participant % participants_ + participants_) % participants_; }
  // result[range] = partial_sum + tensors[last] + ... + tensors[first]; no partial sum where that is null.
  void fold(ByteRange range, const void* partial_sum, std::size_t first, std::size_t last) const;
  template <typename Each>
  void for_each_chunk(ByteRange range, Each each) const;

  const CollectiveSignature& signature_;
  const int participants_;
  const int participant_;
  const std::vector<void*>& tensors_;
  char* const result_;
  const std::int64_t element_bytes_;
  RingChunks chunks_{};
};

}  // namespace lockstep

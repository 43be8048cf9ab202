#include "comm/ring_sums.h"

#include <c10/core/ScalarType.h>

#include <algorithm>

#include "comm/fold.h"

namespace lockstep {

RingSums::RingSums(const CollectiveSignature& signature, int participants, int participant,
                   const std::vector<void*>& tensors, void* result)
    : signature_(signature),
      participants_(participants),
      participant_(participant),
      tensors_(tensors),
      result_(static_cast<char*>(result)),
      element_bytes_(static_cast<std::int64_t>(c10::elementSize(signature.dtype))) {
  const auto ranks = participants * static_cast<int>(std::max<std::size_t>(tensors.size(), 1));
  chunks_ = signature.kind == CollectiveKind::kAllReduce
                ? ring_chunks(signature.count, element_bytes_, ranks)
                : RingChunks{signature.count / ranks, signature.count};
}

ByteRange RingSums::superchunk(int participant) const {
  const int k = static_cast<int>(tensors_.size());
  const int first = wrap(participant) * k;
  return {chunks_.begin(first) * element_bytes_, chunks_.begin(first + k) * element_bytes_};
}

ByteRange RingSums::first_chunk(int participant) const {
  const int first = wrap(participant) * static_cast<int>(tensors_.size());
  return {chunks_.begin(first) * element_bytes_, chunks_.end(first) * element_bytes_};
}

void RingSums::begin(ByteRange range) const {
  for_each_chunk(range, [&](ByteRange part, std::size_t below) { fold(part, nullptr, 0, below - 1); });
}

void RingSums::begin_first_chunk(ByteRange range) const {
  if (tensors_.size() == 1 && tensors_.front() == result_) return;
  fold(range, nullptr, 0, tensors_.size() - 1);
}

void RingSums::add(ByteRange range, const void* partial_sum) const {
  fold(range, partial_sum, 0, tensors_.size() - 1);
}

void RingSums::finish(ByteRange range, const void* partial_sum) const {
  for_each_chunk(range, [&](ByteRange part, std::size_t below) {
    fold(part, static_cast<const char*>(partial_sum) + (part.begin - range.begin), below,
         tensors_.size() - 1);
  });
}

void RingSums::fold(ByteRange range, const void* partial_sum, std::size_t first, std::size_t last) const {
  std::vector<const void*> summands;
  if (partial_sum != nullptr) summands.push_back(partial_sum);
  for (std::size_t t = last + 1; t-- > first;)
    summands.push_back(static_cast<const char*>(tensors_[t]) + range.begin);
  void* const into = result_ + range.begin;
  fold_inputs({&into, 1}, summands, 0, range.size() / element_bytes_,
              {signature_.dtype, signature_.op, ReductionOrder::kPytorch, 1.0});
}

// Calls each(part, index of the chunk within the superchunk).
template <typename Each>
void RingSums::for_each_chunk(ByteRange range, Each each) const {
  const auto k = static_cast<int>(tensors_.size());
  for (int c = participant_ * k; c < (participant_ + 1) * k; ++c) {
    const ByteRange part{std::max(range.begin, chunks_.begin(c) * element_bytes_),
                         std::min(range.end, chunks_.end(c) * element_bytes_)};
    if (part.size() > 0) each(part, static_cast<std::size_t>(c - participant_ * k));
  }
}

}  // namespace lockstep

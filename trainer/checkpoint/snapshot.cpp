#include "trainer/checkpoint/snapshot.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/isfinite.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdint>
#include <cstring>

namespace lockstep {
namespace {

constexpr std::int64_t kGrainBytes = 1 << 20;  // what one thread is worth starting for

// An IEEE number is NaN or infinite when all bits of its exponent are set. Branch-free within a block, so
// that the compiler makes vectors of it.
template <class Word>
bool block_is_finite(const Word* words, std::int64_t count, Word exponent) {
  Word found = 0;
  for (std::int64_t i = 0; i < count; ++i) found |= static_cast<Word>((words[i] & exponent) == exponent);
  return found == 0;
}

template <class Word>
bool is_finite(const void* data, std::int64_t count, Word exponent) {
  constexpr std::int64_t kBlock = 4096;
  const auto* words = static_cast<const Word*>(data);
  std::atomic<bool> finite{true};
  at::parallel_for(0, count, kGrainBytes / static_cast<std::int64_t>(sizeof(Word)),
                   [&](std::int64_t begin, std::int64_t end) {
                     for (std::int64_t at = begin; at < end; at += kBlock) {
                       if (!block_is_finite(words + at, std::min(kBlock, end - at), exponent)) {
                         finite = false;
                         return;
                       }
                     }
                   });
  return finite;
}

}  // namespace

at::Tensor Snapshot::copy(const std::string& key, const at::Tensor& tensor) {
  at::Tensor& kept = kept_[key];
  if (!kept.defined() || kept.scalar_type() != tensor.scalar_type() || kept.sizes() != tensor.sizes()) {
    kept = at::empty(tensor.sizes(),
                     at::TensorOptions().dtype(tensor.scalar_type()).pinned_memory(tensor.is_cuda()));
  }
  const at::Tensor source = tensor.detach();
  if (!source.is_cpu() || !source.is_contiguous()) {
    kept.copy_(source);
    return kept;
  }
  auto* to = static_cast<std::byte*>(kept.mutable_data_ptr());
  const auto* from = static_cast<const std::byte*>(source.const_data_ptr());
  at::parallel_for(0, static_cast<std::int64_t>(source.nbytes()), kGrainBytes,
                   [&](std::int64_t begin, std::int64_t end) {
                     std::memcpy(to + begin, from + begin, static_cast<std::size_t>(end - begin));
                   });
  return kept;
}

bool all_finite(const at::Tensor& tensor) {
  const at::Tensor values = tensor.detach();
  if (!values.is_floating_point()) return true;
  if (values.is_cpu() && values.is_contiguous() && values.scalar_type() == at::kFloat)
    return is_finite<std::uint32_t>(values.const_data_ptr(), values.numel(), 0x7f800000U);
  if (values.is_cpu() && values.is_contiguous() && values.scalar_type() == at::kDouble)
    return is_finite<std::uint64_t>(values.const_data_ptr(), values.numel(), 0x7ff0000000000000ULL);
  return values.isfinite().all().item<bool>();
}

}  // namespace lockstep

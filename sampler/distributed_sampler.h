// DistributedSampler: which samples each rank sees in an epoch; exactly
// torch.utils.data.DistributedSampler's.
#pragma once

#include <cstdint>
#include <vector>

namespace lockstep {

struct DistributedSamplerOptions {
  bool shuffle = true;
  std::uint64_t seed = 0;  // the epoch's order is randperm(seed + epoch)
  bool drop_last =
      false;  // false: wraps around so that all ranks get equally many; true: drops the remainder
};

// Not thread-safe; every rank holds its own with the same options. Formula in docs/parity.md (from
// PyTorch 2.11, torch/utils/data/distributed.py).
class DistributedSampler {
 public:
  // `dataset_size` N samples over `world_size` W ranks, 0 <= rank < W. Throws std::invalid_argument if N < 1,
  // or if N < W with drop_last (PyTorch silently gives every rank no samples then).
  DistributedSampler(std::int64_t dataset_size, int world_size, int rank,
                     DistributedSamplerOptions options = {});

  // Samples each rank gets in one epoch: ceil(N/W), or floor(N/W) with drop_last.
  std::int64_t samples_per_rank() const { return samples_per_rank_; }
  // This rank's samples of `epoch`, in order; samples_per_rank() of them, each in [0, N).
  std::vector<std::int64_t> indices(std::int64_t epoch) const;

 private:
  std::int64_t dataset_size_;
  int world_size_;
  int rank_;
  DistributedSamplerOptions options_;
  std::int64_t samples_per_rank_;
};

}  // namespace lockstep

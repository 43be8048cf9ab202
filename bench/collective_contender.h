// Who takes part in the benchmarks of the collectives.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <vector>

#include "bench/config/collective_config.h"
#include "bench/world.h"

namespace lockstep {

// All ranks have the same contenders in the same order, and call each one's collectives alike.
class CollectiveContender {
 public:
  virtual ~CollectiveContender() = default;
  virtual std::string name() const = 0;
  // Memory of the kind that it works in.
  virtual at::Tensor allocate(std::int64_t count, at::ScalarType dtype);
  // The collective, from `input` to `output`; blocks until its result is there. Shapes and in-place tensors
  // are those of Communicator's; an all-reduce's input may be its output, or another tensor.
  virtual void run(const at::Tensor& output, const at::Tensor& input) = 0;
  // False for a stream of bytes, whose output means nothing.
  virtual bool has_result() const { return true; }
};

// Ours first, then the peers of `config.compare` in its order. Collective. Throws std::invalid_argument for a
// peer that cannot take part here.
std::vector<std::unique_ptr<CollectiveContender>> make_collective_contenders(const CollectiveConfig& config,
                                                                             BenchWorld& world);

// What a rank sends in a ring: nccl-tests' factors of the bus bandwidth, times the bytes.
double ring_bytes(Collective collective, std::int64_t bytes, int world_size);

at::ScalarType parse_dtype(const std::string& name);

}  // namespace lockstep

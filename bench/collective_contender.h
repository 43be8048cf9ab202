// Who takes part in `lockstep bench all-reduce`.
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
  // Memory of the kind that it reduces in.
  virtual at::Tensor allocate(std::int64_t count, at::ScalarType dtype);
  // `output` becomes the sum of all ranks' `input`, which may be the same tensor; blocks until it is there.
  virtual void run(const at::Tensor& output, const at::Tensor& input) = 0;
  // False for a stream of bytes, whose output means nothing.
  virtual bool adds_up() const { return true; }
};

// Ours first, then the peers of `config.compare` in its order. Collective. Throws std::invalid_argument for a
// peer that cannot take part here.
std::vector<std::unique_ptr<CollectiveContender>> make_collective_contenders(const CollectiveConfig& config,
                                                                            BenchWorld& world);

// What a ring all-reduce of `bytes` bytes sends from each rank.
double ring_bytes(std::int64_t bytes, int world_size);

at::ScalarType parse_dtype(const std::string& name);

}  // namespace lockstep

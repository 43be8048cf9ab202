// HashRecorder: hashes.jsonl (docs/contracts.md), by which `lockstep compare` finds where two runs part.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <memory>

#include "comm/communicator.h"
#include "trainer/checkpoint/named_tensors.h"

namespace lockstep {

// SHA-256 of the bytes of a tensor's elements in row-major order.
//
// A step is begin_step(), inputs() for each batch before its backward pass, reduced() when the averages are
// in .grad and nothing will change them any more, end_step() after the update. Each rank's own gradients are
// hashed by hooks as they come, before they are reduced. Every rank makes one with the same parameters;
// end_step() is a collective. Not thread-safe.
class HashRecorder {
 public:
  // `parameters`: those that train. Rank 0 appends to `file`. A process that stands for several logical ranks
  // says how many, the same number everywhere.
  HashRecorder(const NamedTensors& parameters, CommunicatorPtr communicator, std::filesystem::path file,
               int ranks_here = 1);
  ~HashRecorder();
  HashRecorder(const HashRecorder&) = delete;
  HashRecorder& operator=(const HashRecorder&) = delete;

  void begin_step();
  // What comes next is of the `index`-th rank that this process stands for; 0 after begin_step().
  void begin_rank(int index);
  void inputs(const at::Tensor& data, const at::Tensor& target);
  void reduced();
  // `state`: parameters and buffers as they are saved. Throws DataError if the file cannot be written.
  void end_step(std::int64_t step, const NamedTensors& state);

 private:
  struct State;
  std::shared_ptr<State> state_;  // shared with the hooks
};

}  // namespace lockstep

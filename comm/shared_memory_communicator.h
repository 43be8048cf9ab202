// SharedMemoryCommunicator: collectives of ranks on one machine, which read and write each other's memory.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "comm/communicator.h"
#include "comm/shared_memory.h"

namespace lockstep {

class SharedEngine;

// CPU tensors that lie in shared memory on every rank (allocate()) are reduced where they are: each rank
// folds its part of all ranks' tensors and writes the result to all of them. Others pass through a small
// staging area. Small ones travel in the announcement itself.
//
// It has no thread of its own: a collective is announced when it is called, and done by the ranks in wait(),
// which also does those called before it. So every rank has to wait for every Work, or for a later one.
// Waiting spins for a moment, where there is a core for each rank, and then sleeps.
//
// CUDA tensors go to `base`, and so do the ranks' meeting and parting.
class SharedMemoryCommunicator final : public Communicator {
 public:
  struct Created {
    std::shared_ptr<SharedMemoryCommunicator> communicator;  // null where there is no shared memory,
    std::string problem;                                     // and why, the same on all ranks
  };
  // A collective of all ranks of `base`, which errors name as it does. `ranks_on_machine`: with those that
  // are not of `base`; 0: there are none.
  static Created create(CommunicatorPtr base, ReductionOrder order, std::chrono::milliseconds timeout,
                        int ranks_on_machine = 0);
  ~SharedMemoryCommunicator() override;

  int rank() const override;
  int world_size() const override;
  int named_rank(int rank) const override;
  std::string backend() const override { return "shm"; }
  ReductionOrder reduction_order() const override;
  at::Tensor allocate(at::IntArrayRef sizes, const at::TensorOptions& options) override;
  WorkPtr all_reduce(at::Tensor tensor, ReduceOp op) override;
  WorkPtr reduce_scatter(at::Tensor output, at::Tensor input, ReduceOp op) override;
  WorkPtr all_gather(at::Tensor output, at::Tensor input) override;
  WorkPtr broadcast(at::Tensor tensor, int root) override;
  WorkPtr send_receive(at::Tensor output, at::Tensor input) override;
  void barrier() override;
  // Bytes that peers read from this rank's memory or that it wrote to theirs.
  std::int64_t bytes_sent() const override;
  void shutdown() override;
  void abort(const std::string& reason) noexcept override;

  // The ground for collectives of one's own: when every rank has called it, `body` runs on each with the
  // ranks' `mine` as they are mapped here, in rank order; wait() returns when it has ended on all. `mine`
  // lies in this rank's segment of memory(). `tag` has to be the same on all ranks. What `body` throws ends
  // the communicator.
  using Body = std::function<void(std::span<std::byte* const> places)>;
  WorkPtr exchange(std::int64_t tag, const void* mine, Body body);
  const std::shared_ptr<SharedMemory>& memory() const;
  // Seconds that this rank has waited for others so far.
  double waited_s() const;
  // What exchange() should count as sent.
  void add_bytes_sent(std::int64_t bytes);

 private:
  SharedMemoryCommunicator(CommunicatorPtr base, std::shared_ptr<SharedEngine> engine);

  CommunicatorPtr base_;
  std::shared_ptr<SharedEngine> engine_;
};

}  // namespace lockstep

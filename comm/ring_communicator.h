// RingCommunicator: a Communicator over any Transport, or any CollectiveRunner, with a thread of its own that
// runs the collectives in order.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "comm/collective_runner.h"
#include "comm/communicator.h"
#include "comm/transport.h"

namespace lockstep {

class RingEngine;

// Collectives are queued by the caller and run one after the other on the communicator's thread, which alone
// touches the transport: it makes it, uses it and drops it (MPI wants to be initialised and finalised by one
// thread). CUDA tensors are staged through pinned host memory, so that several ranks can share one GPU. After
// the first failure every later collective fails with the same error.
class RingCommunicator final : public Communicator {
 public:
  // Called once on the communicator's thread.
  using MakeTransport = std::function<std::unique_ptr<Transport>()>;
  using MakeRunner = std::function<std::unique_ptr<CollectiveRunner>()>;

  // Blocks until the transport is there and rethrows what `make_transport` threw. `timeout` bounds making the
  // transport, each collective from when it starts to run, and shutdown(); CommError where it is reached.
  RingCommunicator(std::string backend, MakeTransport make_transport, std::chrono::milliseconds timeout,
                   ReductionOrder order = ReductionOrder::kPytorch);
  RingCommunicator(std::string backend, MakeRunner make_runner, std::chrono::milliseconds timeout,
                   ReductionOrder order);
  ~RingCommunicator() override;

  int rank() const override;
  int world_size() const override;
  int named_rank(int rank) const override;
  std::string backend() const override;
  ReductionOrder reduction_order() const override;
  at::Tensor allocate(at::IntArrayRef sizes, const at::TensorOptions& options) override;
  WorkPtr all_reduce(at::Tensor tensor, ReduceOp op) override;
  // No bytes but a ring's for order kTree where K is a power of two; (L - 1)/L + (W - 1)/W of a tensor, L
  // being K * W, for order kPytorch.
  WorkPtr all_reduce_rows(at::Tensor output, at::Tensor rows, ReductionOrder order) override;
  WorkPtr reduce_scatter(at::Tensor output, at::Tensor input, ReduceOp op) override;
  WorkPtr all_gather(at::Tensor output, at::Tensor input) override;
  WorkPtr broadcast(at::Tensor tensor, int root) override;
  WorkPtr send_receive(at::Tensor output, at::Tensor input) override;
  void barrier() override;
  std::int64_t bytes_sent() const override;
  void shutdown() override;
  void abort(const std::string& reason) noexcept override;

 private:
  WorkPtr submit(CollectiveSignature signature, at::Tensor output, at::Tensor input);

  std::shared_ptr<RingEngine> engine_;
};

}  // namespace lockstep

// Communicator: what N ranks can do together. The one interface between the reducer, the trainer and a
// backend.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <cstdint>
#include <memory>
#include <string>

namespace lockstep {

enum class ReduceOp { kSum, kMax, kMin };

// In which order the ranks' values are added up, which decides the last bits of a floating-point sum.
enum class ReductionOrder {
  kPytorch,  // Gloo's ring order: the bits of PyTorch DDP on the CPU (comm/reduction.h)
  kTree,     // a balanced binary tree over ranks, the same for every element and topology
  kFast,     // whatever is quickest; the bits may depend on topology and size
};

// A collective under way; its tensors stay alive until it ends. Some backends do the work in wait(), so every
// rank waits for every Work, or for a later one. A Work must not be used after its communicator is gone.
class Work {
 public:
  virtual ~Work() = default;
  // CPU tensors: blocks until the result is there. CUDA tensors: makes the current stream wait for the result
  // and returns; the host does not wait. Throws CommError on a failure, or when the communicator's timeout
  // has passed.
  virtual void wait() = 0;
  // True once the result is there or the collective has failed; never blocks, never throws.
  virtual bool is_completed() const = 0;
};

using WorkPtr = std::shared_ptr<Work>;

// N ranks that communicate. Every rank must call the same collectives, with the same shapes and dtypes, in
// the same order: a violation is reported as a CommError where the backend can see it, and as a timeout where
// it cannot.
//
// Collectives are asynchronous: they return at once, take effect on tensors in place, and must not be read or
// written until wait() has returned. Tensors are dense and contiguous (std::invalid_argument otherwise), of
// dtype float32, float64, float16, bfloat16, int32, int64 or uint8. One thread at a time may call into a
// communicator. Destructors never communicate: what is outstanding is dropped.
class Communicator {
 public:
  virtual ~Communicator() = default;

  virtual int rank() const = 0;
  virtual int world_size() const = 0;
  // How errors name a rank of this communicator: by its place in the world of which this may be a group.
  virtual int named_rank(int rank) const { return rank; }
  // "shm", "tcp", "mpi", "nccl", "gloo" or "threads".
  virtual std::string backend() const = 0;
  // The order of the sums of all_reduce and reduce_scatter.
  virtual ReductionOrder reduction_order() const { return ReductionOrder::kPytorch; }

  // An uninitialised, contiguous tensor in the memory that this backend moves fastest (shared memory), or in
  // ordinary memory where it has none, or none left. For long-lived buffers; it may outlive the communicator.
  // A collective: with nccl all ranks agree on each.
  virtual at::Tensor allocate(at::IntArrayRef sizes, const at::TensorOptions& options) {
    return at::empty(sizes, options);
  }
  // Device memory that allocate() holds and LibTorch's allocator knows nothing of, bytes.
  virtual std::int64_t allocated_bytes() const { return 0; }

  // Every rank's `tensor` becomes the element-wise reduction over ranks, with the same bits on all of them.
  virtual WorkPtr all_reduce(at::Tensor tensor, ReduceOp op = ReduceOp::kSum) = 0;
  // The sum of several tensors of each rank: `rows` (K, n) counts as those of ranks rank() * K ... rank() * K
  // + K - 1 of K * world_size() ranks, K being the same on all of them. `output` (n), which may be a row,
  // becomes the sum in `order` (kPytorch or kTree), whose bits do not depend on how rows are spread over
  // ranks. What the rows hold afterwards is undefined.
  virtual WorkPtr all_reduce_rows(at::Tensor output, at::Tensor rows, ReductionOrder order);
  // `input` holds world_size() blocks of output.numel() elements; `output` becomes the reduction of block
  // rank().
  virtual WorkPtr reduce_scatter(at::Tensor output, at::Tensor input, ReduceOp op = ReduceOp::kSum) = 0;
  // `output` becomes the inputs of all ranks, in rank order: world_size() * input.numel() elements.
  virtual WorkPtr all_gather(at::Tensor output, at::Tensor input) = 0;
  // Every rank's `tensor` becomes that of `root`.
  virtual WorkPtr broadcast(at::Tensor tensor, int root) = 0;
  // To the neighbours in the circle of ranks: `output` becomes the `input` of the rank after this one, which
  // has as many elements; the last rank's neighbour is rank 0. `output` and `input` share no memory.
  virtual WorkPtr send_receive(at::Tensor output, at::Tensor input) = 0;
  // Returns once every rank has called it. Blocks the host.
  virtual void barrier() = 0;

  // Payload bytes that this rank has sent to others so far.
  virtual std::int64_t bytes_sent() const = 0;

  // Leaves in good order: call it on every rank once the last collective has been waited for; afterwards only
  // the destructor may be called. A rank that fails does not call it, and its launcher then ends the others.
  virtual void shutdown() = 0;
  // Ends all outstanding and later collectives with a CommError that carries `reason`, and tells the peers as
  // far as the backend can. May be called from any thread, more than once.
  virtual void abort(const std::string& reason) noexcept = 0;
};

using CommunicatorPtr = std::shared_ptr<Communicator>;

}  // namespace lockstep

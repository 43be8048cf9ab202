// CollectiveRunner: what runs one collective after the other for a RingCommunicator.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>

#include "comm/collective.h"
#include "comm/communicator.h"
#include "comm/shared_memory.h"
#include "comm/transport.h"

namespace lockstep {

// Made, used and dropped by one thread, but for abort().
class CollectiveRunner {
 public:
  virtual ~CollectiveRunner() = default;
  virtual int rank() const = 0;
  virtual int world_size() const = 0;
  // Communicator::named_rank().
  virtual int named_rank(int rank) const { return rank; }
  // Runs one collective to its end. Tensors are on the CPU: `output` what the caller gets, and `input` what
  // it gives where that is another tensor; of all_reduce it is (K, n), the rows of all_reduce_rows. Returns
  // the payload bytes that this rank has sent. Throws CommError.
  virtual std::int64_t run(const CollectiveSignature& signature, const at::Tensor& output,
                           const at::Tensor& input, const WaitLimit& limit) = 0;
  // Memory from which tensors are communicated without a copy; null where any will do.
  virtual std::shared_ptr<SharedMemory> memory() const { return nullptr; }
  // Leaves in good order; waits for the peers.
  virtual void close() = 0;
  // This rank has failed and will drop the runner: tells the peers why, as far as that can be done without
  // waiting.
  virtual void fail(const std::string& reason) = 0;
  // Ends the waits that a WaitLimit does not reach. From any thread.
  virtual void abort(const std::string& /*reason*/) noexcept {}
};

// Each rank on its own, in a ring over `transport`. `host`, where given, is shut down after it.
std::unique_ptr<CollectiveRunner> make_ring_runner(std::unique_ptr<Transport> transport,
                                                   CommunicatorPtr host = nullptr);

// "has done all_reduce #3 (Float[5]) and come to no other since".
std::string has_done(const CollectiveSignature& signature);

// Where the sum of `rows` may be made: `output`, or the first row where `output` is another row.
at::Tensor sum_buffer(const at::Tensor& output, const at::Tensor& rows);

}  // namespace lockstep

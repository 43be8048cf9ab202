// MPI as a peer: MPI_Allreduce as the installed library does it, called directly.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>

#include "comm/placement.h"

namespace lockstep {

// Initialises MPI for the whole process with MPI_THREAD_SERIALIZED, before our communicator, which then takes
// MPI as it finds it (comm/mpi_transport.h). Serialized: our communicator's thread is inside MPI only while
// one of its collectives is under way, and all_reduce() must be called only while none is. The level costs
// OpenMPI no locks, unlike MPI_THREAD_MULTIPLE, so both sides are timed as they would be alone.
class MpiWorld {
 public:
  // Throws std::invalid_argument unless MPI's world is the one that `placement` describes, CommError if MPI
  // cannot be had.
  explicit MpiWorld(const Placement& placement);

  // MPI_Allreduce with MPI_SUM; `input` may be `output`. float32, float64, int32, int64 and uint8: MPI 3
  // knows no 16-bit floating point. Throws std::invalid_argument for others, CommError where MPI fails.
  void all_reduce(const at::Tensor& output, const at::Tensor& input);
  static bool knows(at::ScalarType dtype);
  // MPI_Reduce_scatter_block with MPI_SUM, from one buffer into another; dtypes as above.
  void reduce_scatter(const at::Tensor& output, const at::Tensor& input);
  // MPI_Allgather; `input` may be this rank's share of `output`. Any dtype.
  void all_gather(const at::Tensor& output, const at::Tensor& input);
  // MPI_Bcast. Any dtype.
  void broadcast(const at::Tensor& tensor, int root);
  // MPI_Sendrecv with the neighbours, in the direction of Communicator::send_receive. Any dtype.
  void send_receive(const at::Tensor& output, const at::Tensor& input);

  std::string library_version() const;  // "Open MPI v4.1.4"

  // After the communicator's shutdown(), on every rank.
  void finalize();
};

}  // namespace lockstep

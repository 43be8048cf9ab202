#include "bench/peers/mpi_world.h"

#define OMPI_SKIP_MPICXX 1
#include <mpi.h>

#include <limits>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "comm/errors.h"

namespace lockstep {
namespace {

std::optional<MPI_Datatype> datatype_of(at::ScalarType dtype) {
  switch (dtype) {
    case at::kFloat:
      return MPI_FLOAT;
    case at::kDouble:
      return MPI_DOUBLE;
    case at::kInt:
      return MPI_INT32_T;
    case at::kLong:
      return MPI_INT64_T;
    case at::kByte:
      return MPI_UINT8_T;
    default:
      return std::nullopt;
  }
}

void check(const char* function, int result) {
  if (result != MPI_SUCCESS) throw CommError(std::string(function) + " failed");
}

// MPI 3 counts with int.
std::pair<int, MPI_Datatype> elements_of(const char* function, const at::Tensor& tensor) {
  const auto datatype = datatype_of(tensor.scalar_type());
  if (!datatype || tensor.numel() > std::numeric_limits<int>::max()) {
    throw std::invalid_argument(std::string(function) + " takes at most 2^31-1 elements, and no " +
                                at::toString(tensor.scalar_type()));
  }
  return {static_cast<int>(tensor.numel()), *datatype};
}

int bytes_of(const char* function, const at::Tensor& tensor) {
  if (tensor.nbytes() > static_cast<std::size_t>(std::numeric_limits<int>::max()))
    throw std::invalid_argument(std::string(function) + " takes at most 2^31-1 bytes of a rank");
  return static_cast<int>(tensor.nbytes());
}

}  // namespace

MpiWorld::MpiWorld(const Placement& placement) {
  if (!placement.mpi_launched()) {
    throw std::invalid_argument("--compare mpi: this process was not started by mpirun; use lockstep bench");
  }
  int granted = 0;
  if (MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &granted) != MPI_SUCCESS ||
      granted < MPI_THREAD_SERIALIZED) {
    throw CommError(
        "--compare mpi: this MPI does not grant MPI_THREAD_SERIALIZED, which two users of it need");
  }
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  int rank = 0;
  int world_size = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &world_size);
  if (rank != placement.rank || world_size != placement.world_size) {
    throw std::invalid_argument(
        "MPI says rank " + std::to_string(rank) + " of " + std::to_string(world_size) +
        ", the environment rank " + std::to_string(placement.rank) + " of " +
        std::to_string(placement.world_size) +
        ": start all ranks with one mpirun of the Open MPI that Lockstep was built with");
  }
}

void MpiWorld::all_reduce(const at::Tensor& output, const at::Tensor& input) {
  const auto [count, type] = elements_of("MPI_Allreduce", output);
  const void* from = input.is_same(output) ? MPI_IN_PLACE : input.const_data_ptr();
  check("MPI_Allreduce",
        MPI_Allreduce(from, output.mutable_data_ptr(), count, type, MPI_SUM, MPI_COMM_WORLD));
}

void MpiWorld::reduce_scatter(const at::Tensor& output, const at::Tensor& input) {
  const auto [count, type] = elements_of("MPI_Reduce_scatter_block", output);
  check("MPI_Reduce_scatter_block",
        MPI_Reduce_scatter_block(input.const_data_ptr(), output.mutable_data_ptr(), count, type, MPI_SUM,
                                 MPI_COMM_WORLD));
}

void MpiWorld::all_gather(const at::Tensor& output, const at::Tensor& input) {
  const int bytes = bytes_of("MPI_Allgather", input);
  const auto* whole = static_cast<const char*>(output.const_data_ptr());
  const auto* share = static_cast<const char*>(input.const_data_ptr());
  const void* from =
      share >= whole && share < whole + output.nbytes() ? MPI_IN_PLACE : input.const_data_ptr();
  check("MPI_Allgather",
        MPI_Allgather(from, bytes, MPI_BYTE, output.mutable_data_ptr(), bytes, MPI_BYTE, MPI_COMM_WORLD));
}

void MpiWorld::broadcast(const at::Tensor& tensor, int root) {
  check("MPI_Bcast",
        MPI_Bcast(tensor.mutable_data_ptr(), bytes_of("MPI_Bcast", tensor), MPI_BYTE, root, MPI_COMM_WORLD));
}

void MpiWorld::send_receive(const at::Tensor& output, const at::Tensor& input) {
  int rank = 0;
  int world_size = 1;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &world_size);
  const int bytes = bytes_of("MPI_Sendrecv", input);
  check("MPI_Sendrecv",
        MPI_Sendrecv(input.const_data_ptr(), bytes, MPI_BYTE, (rank + world_size - 1) % world_size, 0,
                     output.mutable_data_ptr(), bytes, MPI_BYTE, (rank + 1) % world_size, 0, MPI_COMM_WORLD,
                     MPI_STATUS_IGNORE));
}

bool MpiWorld::knows(at::ScalarType dtype) {
  return datatype_of(dtype).has_value();
}

std::string MpiWorld::library_version() const {
  char text[MPI_MAX_LIBRARY_VERSION_STRING] = {};
  int length = 0;
  MPI_Get_library_version(text, &length);
  const std::string version(text, static_cast<std::size_t>(length));
  return version.substr(0, version.find(','));
}

void MpiWorld::finalize() {
  MPI_Finalize();
}

}  // namespace lockstep

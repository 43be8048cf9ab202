#include "bench/peers/mpi_world.h"

#define OMPI_SKIP_MPICXX 1
#include <mpi.h>

#include <limits>
#include <optional>
#include <stdexcept>

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
  const auto datatype = datatype_of(output.scalar_type());
  if (!datatype || output.numel() > std::numeric_limits<int>::max()) {
    throw std::invalid_argument(std::string("MPI_Allreduce takes at most 2^31-1 elements, and no ") +
                                at::toString(output.scalar_type()));
  }
  const void* from = input.is_same(output) ? MPI_IN_PLACE : input.const_data_ptr();
  if (MPI_Allreduce(from, output.mutable_data_ptr(), static_cast<int>(output.numel()), *datatype, MPI_SUM,
                    MPI_COMM_WORLD) != MPI_SUCCESS) {
    throw CommError("MPI_Allreduce failed");
  }
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

// Where this process stands among its peers, read from what launched it. Links no LibTorch.
#pragma once

#include <functional>
#include <optional>
#include <string>

namespace lockstep {

enum class LaunchedBy { kNothing, kTorchrun, kOpenMpi, kPmi, kSlurm };

struct Placement {
  int rank = 0;  // 0 .. world_size-1
  int world_size = 1;
  int local_rank = 0;        // among the ranks of this machine
  int local_world_size = 1;  // ranks on this machine
  LaunchedBy launched_by = LaunchedBy::kNothing;

  // True where MPI_Init joins the peers. Elsewhere it silently makes a world of one rank, so it must not be
  // called.
  bool mpi_launched() const { return launched_by == LaunchedBy::kOpenMpi || launched_by == LaunchedBy::kPmi; }
};

using GetEnvironment = std::function<std::optional<std::string>(const char* name)>;

// Reads, in this order and taking the first that is there: RANK/WORLD_SIZE/LOCAL_RANK/LOCAL_WORLD_SIZE
// (torchrun), OMPI_COMM_WORLD_* (mpirun), PMI_RANK/PMI_SIZE or PMIX_RANK (other MPI launchers),
// SLURM_PROCID/SLURM_NTASKS (srun; only inside a step, SLURM_STEP_ID, so that a plain program in a batch
// script is not taken for a rank). Throws std::invalid_argument, naming the variable, if a value is no
// number, is out of range or contradicts another.
Placement read_placement(const GetEnvironment& get_environment);
// The same from the process's environment.
Placement read_placement();

std::string to_string(LaunchedBy launched_by);

}  // namespace lockstep

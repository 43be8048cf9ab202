// What has to be tried out: Open MPI's launcher, and the disk.
#pragma once

#include <filesystem>

#include "launch/doctor/finding.h"

namespace lockstep {

// `path`: a list as in PATH. Runs `mpirun --version`.
Finding probe_open_mpi(const std::string& path);
// Of what `mpirun --version` printed; an empty text stands for one that cannot be run.
Finding judge_open_mpi(const std::string& program, const std::string& printed);

struct DiskTrial {
  std::filesystem::path folder;  // that exists: the run folder, or what is to hold it
  double bytes_per_s = 0;        // written and on the disk
  double free_bytes = 0;
  std::string problem;  // why nothing could be written; empty: it could
};

// Writes up to 64 MB for half a second, each 4 MB waited for, and leaves nothing behind.
DiskTrial try_disk(const std::filesystem::path& run_dir);
Finding judge_disk(const DiskTrial& trial);

}  // namespace lockstep

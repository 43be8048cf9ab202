// Launchers describe a rank's place in variables of their own; each reader below knows one launcher's.
#include "comm/placement.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <stdexcept>

namespace lockstep {
namespace {

constexpr std::int64_t kMostRanks = 1 << 20;  // far beyond any cluster: a larger number is a damaged variable

std::int64_t to_number(const std::string& name, const std::string& text, std::int64_t least,
                       std::int64_t most) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < least || value > most) {
    throw std::invalid_argument("environment variable " + name + ": \"" + text.substr(0, 40) +
                                "\" must be a whole number from " + std::to_string(least) + " to " +
                                std::to_string(most));
  }
  return value;
}

class Reader {
 public:
  explicit Reader(const GetEnvironment& get) : get_(get) {}

  bool has(const char* name) const { return get_(name).has_value(); }

  std::string text(const char* name, const char* because) const {
    auto value = get_(name);
    if (!value) {
      throw std::invalid_argument("environment variable " + std::string(name) + " is missing although " +
                                  because + " is set: a launcher sets both");
    }
    return *value;
  }

  int number(const char* name, const char* because, std::int64_t least, std::int64_t most) const {
    return static_cast<int>(to_number(name, text(name, because), least, most));
  }

  // Reads a rank and the number of ranks: rank is checked to lie below it.
  void pair(const char* rank_name, const char* size_name, int& rank, int& size) const {
    size = number(size_name, rank_name, 1, kMostRanks);
    rank = number(rank_name, size_name, 0, kMostRanks);
    if (rank >= size) {
      throw std::invalid_argument("environment variable " + std::string(rank_name) + "=" +
                                  std::to_string(rank) + " must be below " + size_name + "=" +
                                  std::to_string(size));
    }
  }

 private:
  const GetEnvironment& get_;
};

// Slurm's run-length list of tasks per node, "4(x2),3" for 4, 4 and 3: the entry of node `node_id`.
int tasks_on_node(const std::string& name, const std::string& list, std::int64_t node_id) {
  std::int64_t first_node = 0;
  for (std::size_t begin = 0; begin <= list.size();) {
    const std::size_t end = std::min(list.find(',', begin), list.size());
    std::string entry = list.substr(begin, end - begin);
    std::int64_t nodes = 1;
    if (const std::size_t times = entry.find("(x"); times != std::string::npos && entry.back() == ')') {
      nodes = to_number(name, entry.substr(times + 2, entry.size() - times - 3), 1, kMostRanks);
      entry.resize(times);
    }
    const std::int64_t tasks = to_number(name, entry, 1, kMostRanks);
    if (node_id < first_node + nodes) {
      return static_cast<int>(tasks);
    }
    first_node += nodes;
    begin = end + 1;
  }
  throw std::invalid_argument("environment variable " + name + ": \"" + list.substr(0, 40) +
                              "\" has no entry for node " + std::to_string(node_id) + " (SLURM_NODEID)");
}

void read_slurm_local(const Reader& reader, const char* because, Placement& placement) {
  const char* tasks =
      reader.has("SLURM_STEP_TASKS_PER_NODE") ? "SLURM_STEP_TASKS_PER_NODE" : "SLURM_TASKS_PER_NODE";
  const int node_id = reader.number("SLURM_NODEID", because, 0, kMostRanks);
  placement.local_world_size = tasks_on_node(tasks, reader.text(tasks, because), node_id);
  placement.local_rank = reader.number("SLURM_LOCALID", because, 0, placement.local_world_size - 1);
}

const char* slurm_size_name(const Reader& reader) {
  return reader.has("SLURM_STEP_NUM_TASKS") ? "SLURM_STEP_NUM_TASKS" : "SLURM_NTASKS";
}

// Slurm gives the batch script's and the interactive shell's step a reserved id near 2^32: they are no ranks.
bool inside_slurm_step(const GetEnvironment& get) {
  constexpr std::int64_t kFirstReservedStep = 0xfffffff0;
  const auto step = get("SLURM_STEP_ID");
  return step && get("SLURM_PROCID") &&
         to_number("SLURM_STEP_ID", *step, 0, std::int64_t{1} << 32) < kFirstReservedStep;
}

Placement read_torchrun(const Reader& reader) {
  Placement placement;
  placement.launched_by = LaunchedBy::kTorchrun;
  reader.pair("RANK", "WORLD_SIZE", placement.rank, placement.world_size);
  // Launchers of one rank per machine (Kubernetes' PyTorchJob) set neither of the local ones: the defaults
  // hold.
  if (reader.has("LOCAL_RANK") || reader.has("LOCAL_WORLD_SIZE")) {
    reader.pair("LOCAL_RANK", "LOCAL_WORLD_SIZE", placement.local_rank, placement.local_world_size);
  }
  return placement;
}

Placement read_open_mpi(const Reader& reader) {
  Placement placement;
  placement.launched_by = LaunchedBy::kOpenMpi;
  reader.pair("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", placement.rank, placement.world_size);
  reader.pair("OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE", placement.local_rank,
              placement.local_world_size);
  return placement;
}

// PMIx has a variable for the rank only; the number of ranks is then Slurm's.
Placement read_pmi(const Reader& reader) {
  Placement placement;
  placement.launched_by = LaunchedBy::kPmi;
  const char* rank_name = reader.has("PMI_RANK") ? "PMI_RANK" : "PMIX_RANK";
  const char* size_name = reader.has("PMI_SIZE") ? "PMI_SIZE" : slurm_size_name(reader);
  reader.pair(rank_name, size_name, placement.rank, placement.world_size);
  if (reader.has("MPI_LOCALRANKID")) {  // MPICH's and Intel's mpiexec
    reader.pair("MPI_LOCALRANKID", "MPI_LOCALNRANKS", placement.local_rank, placement.local_world_size);
  } else if (reader.has("SLURM_LOCALID")) {
    read_slurm_local(reader, rank_name, placement);
  } else if (placement.world_size > 1) {
    throw std::invalid_argument("environment variable MPI_LOCALRANKID or SLURM_LOCALID is missing although " +
                                std::string(rank_name) +
                                " is set: the rank's place on its machine is unknown");
  }
  return placement;
}

Placement read_slurm(const Reader& reader) {
  Placement placement;
  placement.launched_by = LaunchedBy::kSlurm;
  reader.pair("SLURM_PROCID", slurm_size_name(reader), placement.rank, placement.world_size);
  read_slurm_local(reader, "SLURM_PROCID", placement);
  return placement;
}

Placement read_launcher(const GetEnvironment& get) {
  const Reader reader(get);
  if (reader.has("RANK")) {
    return read_torchrun(reader);
  }
  if (reader.has("OMPI_COMM_WORLD_RANK")) {
    return read_open_mpi(reader);
  }
  if (reader.has("PMI_RANK") || reader.has("PMIX_RANK")) {
    return read_pmi(reader);
  }
  if (inside_slurm_step(get)) {
    return read_slurm(reader);
  }
  return {};
}

}  // namespace

Placement read_placement(const GetEnvironment& get_environment) {
  const Placement placement = read_launcher(get_environment);
  if (placement.local_world_size > placement.world_size || placement.local_rank > placement.rank) {
    throw std::invalid_argument(
        "environment (" + to_string(placement.launched_by) + "): rank " + std::to_string(placement.rank) +
        " of " + std::to_string(placement.world_size) + " cannot be local rank " +
        std::to_string(placement.local_rank) + " of " + std::to_string(placement.local_world_size) +
        " on its machine: there are more local ranks than ranks");
  }
  return placement;
}

Placement read_placement() {
  return read_placement([](const char* name) -> std::optional<std::string> {
    const char* value = std::getenv(name);
    return value == nullptr ? std::nullopt : std::optional<std::string>(value);
  });
}

std::string to_string(LaunchedBy launched_by) {
  switch (launched_by) {
    case LaunchedBy::kNothing:
      return "no launcher";
    case LaunchedBy::kTorchrun:
      return "torchrun";
    case LaunchedBy::kOpenMpi:
      return "Open MPI";
    case LaunchedBy::kPmi:
      return "PMI";
    case LaunchedBy::kSlurm:
      return "Slurm";
  }
  return "unknown launcher";
}

}  // namespace lockstep

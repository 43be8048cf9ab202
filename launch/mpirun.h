// What is executed to start the ranks: a command and an environment, built without looking at the machine.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace lockstep {

using Environment = std::map<std::string, std::string>;

// The environment of this process.
Environment current_environment();

struct JobPlan {
  int nproc_per_node = 1;
  int nnodes = 1;
  std::string hostfile;
  std::vector<std::string> rank_command;  // the program of a rank and its arguments
  std::filesystem::path lockstep;         // this program: it stands beside each rank (rank_command.h)
  std::filesystem::path mpirun;           // empty: one rank, started directly
  int num_threads = 0;                    // CPU threads per rank that were asked for; 0: a share of `cores`
  int cores = 1;                          // that this process may use
  bool warm_heap = true;
  bool is_root = false;
  std::string command_text;           // what the user typed; empty: the ranks need not know
  std::filesystem::path exit_dir;     // absolute; empty in a dry run
  std::optional<int> stdout_columns;  // where standard output is a terminal
  bool stderr_is_terminal = false;
  double timeout_s = 0.0;           // after which a rank that stands still is ended; 0: never
  std::int64_t launch_time_ns = 0;  // CLOCK_MONOTONIC

  int world_size() const { return nproc_per_node * nnodes; }
};

struct JobCommand {
  std::vector<std::string> arguments;  // arguments[0] is the program's file
  Environment environment;             // all of it
};

// What the user has set in `current` is kept, but for variables in which only the launcher knows the truth
// (docs/launch.md).
JobCommand build_job_command(const JobPlan& plan, const Environment& current);

// A program on one host, started as ranks are there, whose standard input and output are this process's. ssh
// asks for no password and gives up after `connect_timeout_s`.
JobCommand build_host_command(const std::filesystem::path& mpirun, const std::string& host,
                              const std::vector<std::string>& program, bool is_root, int connect_timeout_s,
                              const Environment& current);

// One word for a shell, in quotes where needed.
std::string shell_quoted(const std::string& word);

// One line for a shell that does the same: only what differs from `current`, then the command; quoted where
// needed.
std::string to_shell(const JobCommand& command, const Environment& current);

}  // namespace lockstep

#include "launch/rank_job.h"

#include <sched.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <stdexcept>

#include "launch/attempts.h"
#include "launch/hostfile.h"
#include "launch/mpirun.h"
#include "launch/outcome.h"
#include "launch/program_path.h"
#include "sampler/data_error.h"

namespace lockstep {
namespace {

namespace fs = std::filesystem;

int usable_cores() {
  cpu_set_t cores;
  return sched_getaffinity(0, sizeof(cores), &cores) == 0 ? std::max(1, CPU_COUNT(&cores)) : 1;
}

std::optional<int> terminal_columns(int fd) {
  if (isatty(fd) == 0) {
    return std::nullopt;
  }
  constexpr int kUsual = 80;  // terminals that do not say
  winsize size{};
  return ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : kUsual;
}

int count_nodes(const LaunchOptions& launch) {
  if (!launch.hostfile.empty()) {
    const int hosts = count_hosts(launch.hostfile);
    if (launch.nnodes > hosts) {
      throw std::invalid_argument("--nnodes: \"" + std::to_string(launch.nnodes) + "\" is more than the " +
                                  std::to_string(hosts) + " hosts in " + launch.hostfile +
                                  "; it must be at most that");
    }
    return launch.nnodes == 0 ? hosts : launch.nnodes;
  }
  const bool allotted = std::getenv("SLURM_JOB_ID") != nullptr || std::getenv("PBS_NODEFILE") != nullptr;
  if (launch.nnodes > 1 && !allotted) {
    throw std::invalid_argument(
        "--nnodes: \"" + std::to_string(launch.nnodes) +
        "\" machines need --hostfile FILE to name them, or a batch system's allotment");
  }
  return std::max(launch.nnodes, 1);
}

fs::path find_rank_program(const RankJob& job) {
  const char* other = std::getenv(job.program_override.c_str());
  const fs::path program = other != nullptr ? fs::path(other) : own_program().parent_path() / job.program;
  if (!is_executable_file(program)) {
    throw DataError(
        program.string() +
        " is not there or cannot be executed; it must stand beside lockstep: build or install it again");
  }
  return fs::absolute(program);
}

fs::path find_mpirun() {
  const char* path = std::getenv("PATH");
  if (const auto mpirun = find_on_path("mpirun", path != nullptr ? path : "")) {
    return *mpirun;
  }
  throw DataError("mpirun is not on the PATH; install the package openmpi-bin (Debian 12, Ubuntu 24.04)");
}

void check_fewer_ranks(const RankJob& job, int world_size, int nnodes) {
  const int least = job.launch.min_nproc;
  if (least > world_size) {
    throw std::invalid_argument("--min-nproc: \"" + std::to_string(least) + "\" is more than the " +
                                std::to_string(world_size) + " ranks to start with; it must be at most that");
  }
  if ((least > 0 || job.adapts_ranks) && nnodes > 1 && job.launch.hostfile.empty()) {
    throw std::invalid_argument(
        std::string(least > 0 ? "--min-nproc" : "--adaptive-ranks") +
        ": on several machines it needs --hostfile FILE, to name those that are left");
  }
}

JobPlan make_plan(const RankJob& job) {
  JobPlan plan;
  plan.launch_time_ns = monotonic_ns();
  plan.nproc_per_node = job.launch.nproc_per_node;
  plan.nnodes = count_nodes(job.launch);
  plan.hostfile = job.launch.hostfile;
  plan.rank_command = {find_rank_program(job).string()};
  plan.rank_command.insert(plan.rank_command.end(), job.arguments.begin(), job.arguments.end());
  check_fewer_ranks(job, plan.world_size(), plan.nnodes);
  if ((job.launch.min_nproc > 0 || job.adapts_ranks) && job.logical_world_size == 0) {
    plan.rank_command.push_back("--logical-world-size=" + std::to_string(plan.world_size()));
  }
  plan.lockstep = own_program();
  plan.command_text = job.command_text;
  // One rank needs no mpirun, unless its host or its backend is MPI's business.
  const bool direct = plan.world_size() == 1 && plan.hostfile.empty() && !job.needs_mpirun;
  plan.mpirun = direct ? fs::path() : find_mpirun();
  plan.num_threads = job.num_threads;
  plan.timeout_s = job.timeout_s;
  plan.cores = usable_cores();
  plan.warm_heap = job.launch.warm_heap == "on";
  plan.is_root = geteuid() == 0;
  plan.stdout_columns = terminal_columns(STDOUT_FILENO);
  plan.stderr_is_terminal = isatty(STDERR_FILENO) != 0;
  return plan;
}

// On a terminal the line that rank 0's bar stands on is wiped first.
void say(const JobPlan& plan, const std::string& line) {
  std::cerr << (plan.stderr_is_terminal ? "\r\x1b[K" : "") << "lockstep: " << line << std::endl;
}

}  // namespace

std::int64_t monotonic_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  constexpr std::int64_t kNsPerS = 1'000'000'000;
  return now.tv_sec * kNsPerS + now.tv_nsec;
}

int run_rank_job(const RankJob& job) {
  const JobPlan plan = make_plan(job);
  if (job.launch.dry_run) {
    const Environment current = current_environment();
    std::cout << to_shell(build_job_command(plan, current), current) << std::endl;
    return 0;
  }
  const Outcome outcome = run_attempts(plan, job, [&](const std::string& line) { say(plan, line); });
  if (!outcome.message.empty()) {
    const bool agreed = outcome.code == ExitCode::kPaused || outcome.code == ExitCode::kBudget;
    say(plan, (agreed ? "" : "error: ") + outcome.message);
  }
  return static_cast<int>(outcome.code);
}

}  // namespace lockstep

// For Open MPI 4.1 (Debian 12, Ubuntu 24.04).
#include "launch/mpirun.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <sstream>
#include <string_view>

namespace lockstep {
namespace {

// Left over from another launcher around us, they would tell our ranks a wrong place.
constexpr std::array kTorchrunPlace = {"RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"};
constexpr std::array kOtherPlaces = {"OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK", "SLURM_STEP_ID"};

void set_ours(Environment& environment, const JobPlan& plan) {
  for (const char* name : kTorchrunPlace) {
    environment.erase(name);
  }
  if (plan.mpirun.empty()) {
    for (const char* name : kOtherPlaces) {
      environment.erase(name);
    }
  }
  environment["LOCKSTEP_LAUNCHER"] = "1";
  environment["LOCKSTEP_LAUNCH_TIME_NS"] = std::to_string(plan.launch_time_ns);
  environment.erase("LOCKSTEP_EXIT_DIR");
  if (!plan.exit_dir.empty()) {
    environment["LOCKSTEP_EXIT_DIR"] = plan.exit_dir.string();
  }
  environment.erase("LOCKSTEP_TIMEOUT_S");
  if (plan.timeout_s > 0.0) {
    environment["LOCKSTEP_TIMEOUT_S"] = std::to_string(plan.timeout_s);
  }
  environment.erase("LOCKSTEP_COMMAND");
  if (!plan.command_text.empty()) {
    environment["LOCKSTEP_COMMAND"] = plan.command_text;
  }
  environment.erase("LOCKSTEP_TTY_COLUMNS");
  if (plan.stdout_columns) {
    environment["LOCKSTEP_TTY_COLUMNS"] = std::to_string(*plan.stdout_columns);
  }
  if (plan.num_threads > 0) {
    environment["OMP_NUM_THREADS"] = std::to_string(plan.num_threads);
  }
}

// emplace() keeps what the user has set.
void set_mpirun_defaults(Environment& environment, bool is_root) {
  // Containers forbid process_vm_readv, and Open MPI then warns or fails.
  environment.emplace("OMPI_MCA_btl_vader_single_copy_mechanism", "none");
  if (is_root) {
    environment.emplace("OMPI_ALLOW_RUN_AS_ROOT", "1");
    environment.emplace("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
  }
}

void set_defaults(Environment& environment, const JobPlan& plan) {
  environment.emplace("OMP_NUM_THREADS", std::to_string(std::max(1, plan.cores / plan.nproc_per_node)));
  if (!plan.warm_heap) {
    environment["LOCKSTEP_WARM_HEAP"] = "off";  // lockstep-train would see to it by itself
  } else {
    environment.emplace("MALLOC_MMAP_MAX_", "0");
    environment.emplace("MALLOC_TRIM_THRESHOLD_", "2000000000");
    environment.emplace("MALLOC_TOP_PAD_", "268435456");
  }
  if (plan.mpirun.empty()) {
    return;
  }
  set_mpirun_defaults(environment, plan.is_root);
  environment.emplace("OMPI_MCA_btl_base_warn_component_unused", "0");
  // On a saturated wire the handshake before a large message waits behind the data before it. A ring's
  // segments (comm/ring.cpp) are expected at the other end, so they go without one.
  for (const char* limit : {"eager_limit", "rndv_eager_limit", "max_send_size"})
    environment.emplace(std::string("OMPI_MCA_btl_tcp_") + limit, "600000");
}

// Open MPI sends its own variables to other hosts by itself, everybody else's only with -x.
bool travels(std::string_view name) {
  constexpr std::array kPrefixes = {"LOCKSTEP_", "NCCL_", "TORCH_NCCL_", "PYTORCH_", "GLOO_", "MALLOC_"};
  return name == "OMP_NUM_THREADS" ||
         std::any_of(kPrefixes.begin(), kPrefixes.end(),
                     [&](const char* prefix) { return name.starts_with(prefix); });
}

void append_travelling(std::vector<std::string>& arguments, const Environment& environment) {
  for (const auto& [name, value] : environment) {
    if (travels(name)) {
      arguments.insert(arguments.end(), {"-x", name});
    }
  }
}

const char* terminals(const JobPlan& plan) {
  if (plan.stdout_columns) {
    return plan.stderr_is_terminal ? "both" : "stdout";
  }
  return plan.stderr_is_terminal ? "stderr" : "none";
}

void append_mpirun(std::vector<std::string>& arguments, const JobPlan& plan, const Environment& environment) {
  // --quiet: mpirun would add a paragraph of its own to every exit code. No binding: a rank has several
  // threads, and the default pins them all to one core. Oversubscribing: slots are physical cores, fewer than
  // a rented machine's virtual ones; and the number of ranks is the user's word.
  const std::string per_node = "ppr:" + std::to_string(plan.nproc_per_node) + ":node";
  arguments.insert(arguments.end(), {plan.mpirun.string(), "--quiet", "--bind-to", "none", "--oversubscribe",
                                     "--map-by", per_node, "-n", std::to_string(plan.world_size())});
  if (!plan.hostfile.empty()) {
    arguments.insert(arguments.end(), {"--hostfile", plan.hostfile});
  }
  append_travelling(arguments, environment);
}

}  // namespace

Environment current_environment() {
  Environment environment;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    if (const std::size_t equals = text.find('='); equals != std::string_view::npos) {
      environment.emplace(text.substr(0, equals), text.substr(equals + 1));
    }
  }
  return environment;
}

std::string shell_quoted(const std::string& word) {
  constexpr std::string_view kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./:,@%";
  if (!word.empty() && word.find_first_not_of(kPlain) == std::string::npos) {
    return word;
  }
  std::string quoted;
  quoted.push_back('\'');
  for (const char c : word) {
    if (c == '\'') {
      quoted.append("'\\'");  // ends the quotes and adds a quote; the line below opens them again
    }
    quoted.push_back(c);
  }
  quoted.push_back('\'');
  return quoted;
}

JobCommand build_job_command(const JobPlan& plan, const Environment& current) {
  JobCommand command;
  command.environment = current;
  set_ours(command.environment, plan);
  set_defaults(command.environment, plan);
  if (!plan.mpirun.empty()) {
    append_mpirun(command.arguments, plan, command.environment);
  }
  command.arguments.insert(command.arguments.end(), {plan.lockstep.string(), "rank", terminals(plan)});
  command.arguments.insert(command.arguments.end(), plan.rank_command.begin(), plan.rank_command.end());
  return command;
}

JobCommand build_host_command(const std::filesystem::path& mpirun, const std::string& host,
                              const std::vector<std::string>& program, bool is_root, int connect_timeout_s,
                              const Environment& current) {
  JobCommand command;
  command.environment = current;
  set_mpirun_defaults(command.environment, is_root);
  // Another agent than ssh does not know ssh's options.
  if (!current.contains("OMPI_MCA_plm_rsh_agent")) {
    command.environment.emplace("OMPI_MCA_plm_rsh_args",
                                "-o BatchMode=yes -o ConnectTimeout=" + std::to_string(connect_timeout_s));
  }
  command.arguments = {mpirun.string(), "--quiet", "--bind-to", "none", "--oversubscribe",
                       "--host",        host,      "-n",        "1"};
  append_travelling(command.arguments, command.environment);
  command.arguments.insert(command.arguments.end(), program.begin(), program.end());
  return command;
}

std::string to_shell(const JobCommand& command, const Environment& current) {
  std::ostringstream line;
  line << "env";
  for (const auto& [name, value] : current) {
    if (!command.environment.contains(name)) {
      line << " -u " << shell_quoted(name);
    }
  }
  for (const auto& [name, value] : command.environment) {
    const auto before = current.find(name);
    if (before == current.end() || before->second != value) {
      line << ' ' << shell_quoted(name + "=" + value);
    }
  }
  for (const std::string& argument : command.arguments) {
    line << ' ' << shell_quoted(argument);
  }
  return line.str();
}

}  // namespace lockstep

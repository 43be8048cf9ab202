// Every option of `lockstep bench scaling`. Links no LibTorch.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bench/config/step_config.h"

namespace lockstep {

struct ScalingConfig {
  std::string ranks = "1,2,4";
  std::string links = "shared-memory,10gbit,1gbit";
  std::string model = "resnet18";  // workloads' names; mlp is mlp-512
  std::string mode = "weak";       // weak | strong
  std::string compare;             // pytorch, or nothing
  std::string output = "scaling";  // a folder
  std::string report;              // a file; empty: scaling.html in `output`
  bool mix_machines = false;
  int rounds = 3;  // of steps
  int iters = 7;   // of all-reduces
  std::string max_bytes = "16M";
  double timeout_s = 300;
  std::string python;

  int max_ranks = 1024;  // of the prediction
  int ranks_per_host = 8;
  std::int64_t samples_per_epoch = 1'281'167;
  double price_per_gpu_hour = 0.0;
  std::string currency = "USD";
  std::string gpu_type;
  std::string price_table;
  std::string region;
  bool spot = false;
};

inline constexpr const char* kSharedMemoryLink = "shared-memory";

// `arguments` without the commands' names. Throws std::invalid_argument, naming the flag.
ScalingConfig parse_scaling_command(const std::vector<std::string>& arguments);
std::string scaling_help();

// What the texts mean: ranks in ascending order, links and workloads as asked for. Of a parsed configuration.
std::vector<int> ranks_of(const ScalingConfig& config);
std::vector<std::string> links_of(const ScalingConfig& config);
std::vector<Workload> workloads_of(const ScalingConfig& config);

}  // namespace lockstep

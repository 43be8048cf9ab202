// What a result is worth nothing without: the machine, the versions and the command.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace lockstep {

struct Machine {
  std::string cpu;                                          // "Intel(R) Xeon(R) Processor @ 2.50GHz"
  int cores = 0;                                            // that this process may use
  std::vector<std::pair<std::string, std::string>> caches;  // of one core: {"L1 Data", "32K"}, ...
  double memory_gib = 0.0;
  std::string kernel;  // "Linux 6.1.0"
  std::string gpu;     // "NVIDIA H200", where ranks compute on one
};

// Reads /proc and /sys; what they do not tell stays empty.
Machine read_machine();

struct RunFacts {
  Machine machine;
  std::vector<std::pair<std::string, std::string>> versions;  // {"LibTorch", "2.11.0"}, ...
  std::string command;
  int world_size = 1;
  int hosts = 1;
  std::string backend;
  std::string backend_reason;
  std::string reduction_order;
  bool warm_heap = false;  // glibc told to keep freed memory, for every program that is measured
  double barrier_s = 0.0;  // what one barrier of ours costs, the slowest rank's median
};

// The head of a report, lines that begin with "# ".
std::string describe(const RunFacts& facts);

// One object, as text: what result files begin with.
std::string to_json_text(const RunFacts& facts);

}  // namespace lockstep

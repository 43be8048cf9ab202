// Every option of `lockstep bench all-reduce`. Links no LibTorch.
#pragma once

#include <cstdint>
#include <string>

#include "bench/config/bench_setting.h"

namespace lockstep {

struct CollectiveConfig : BenchSetting {
  // As text, with K, M or G for powers of 1024, as nccl-tests reads them.
  std::string min_bytes = "1K";
  std::string max_bytes = "64M";
  std::int64_t step_factor = 4;
  int warmup_iters = 3;
  int iters = 20;  // rounds that are timed
  std::string dtype = "float32";
  std::string buffers = "fresh";  // fresh | warm
  std::string memory = "shared";  // shared | private
  bool in_place = true;
  std::string csv;  // a file; empty: none

  static constexpr const char* kPeers[] = {"gloo", "mpi", "tcp"};
};

}  // namespace lockstep

// Every option of `lockstep bench all-reduce`, `reduce-scatter`, `all-gather`, `broadcast` and
// `send-receive`. Links no LibTorch.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "bench/config/bench_setting.h"

namespace lockstep {

enum class Collective { kAllReduce, kReduceScatter, kAllGather, kBroadcast, kSendReceive };

// "all-reduce", as in `lockstep bench all-reduce`.
const char* name_of(Collective collective);
std::optional<Collective> find_collective(const std::string& name);
inline bool adds_up(Collective collective) {
  return collective == Collective::kAllReduce || collective == Collective::kReduceScatter;
}

struct CollectiveConfig : BenchSetting {
  Collective collective = Collective::kAllReduce;  // by the benchmark's name

  // As text, with K, M or G for powers of 1024, as nccl-tests reads them.
  std::string min_bytes = "1K";
  std::string max_bytes = "64M";
  std::int64_t step_factor = 4;
  int warmup_iters = 3;
  int iters = 20;  // rounds that are timed
  std::string dtype = "float32";
  int check = 1;                  // 0: results are not looked at
  int root = 0;                   // of a broadcast
  std::string buffers = "fresh";  // fresh | warm; of an all-reduce
  std::string memory = "shared";  // shared | private
  bool in_place = true;
  std::string csv;  // a file; empty: none

  static constexpr const char* kPeers[] = {"gloo", "mpi", "tcp"};
};

// Its defaults where they depend on the collective.
CollectiveConfig defaults_of(Collective collective);

}  // namespace lockstep

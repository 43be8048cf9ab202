// What all benchmarks share: how the ranks communicate, who is measured beside us, where the results go.
#pragma once

#include <string>

namespace lockstep {

struct BenchSetting {
  std::string device = "cpu";  // cpu | cuda
  std::string backend = "auto";
  bool share_gpus = false;           // nccl although ranks share a GPU
  std::string nccl_memory = "auto";  // of the buckets there
  std::string reduction_order = "pytorch";
  std::string compare;      // peers, with commas between them
  std::string interface;    // network interface of the peers' sockets; empty: see the help
  double timeout_s = 300;   // of every wait for another rank
  std::string master_addr;  // rendezvous of --backend gloo
  int master_port = 0;
  std::string json;  // a file; empty: none
};

}  // namespace lockstep

// The table of backends: which one a run gets, and why.
#pragma once

#include <ATen/core/Tensor.h>

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "comm/nccl_library.h"
#include "comm/placement.h"

namespace lockstep {

struct CommunicatorOptions {
  Placement placement = read_placement();
  std::string backend = "auto";  // auto, nccl, shm, tcp, mpi, gloo or threads (one rank only)
  ReductionOrder reduction_order = ReductionOrder::kPytorch;     // nccl: kTree, and kFast for the others
  at::Device device = at::kCPU;                                  // where the tensors that matter live
  std::chrono::milliseconds timeout = std::chrono::minutes(10);  // of every wait for another rank
  // Called on rank 0 where `auto` has to take the next best path; by default a line on standard error.
  std::function<void(const std::string& line)> warn;
  bool share_gpus = false;           // nccl although ranks share a GPU
  bool for_groups = false;           // will be split: NCCL is to order what all of them do on a GPU
  std::string nccl_memory = "auto";  // of allocate() there: comm/nccl_memory.h
  int nccl_version = lockstep::nccl_version();
  std::string master_addr;  // gloo's rendezvous; empty: MASTER_ADDR
  int master_port = 0;      // 0: MASTER_PORT
};

struct BackendChoice {
  std::string name;
  std::string reason;  // one clause: "mpi, because ..."
};

// What `options.backend` comes down to on a machine with `gpu_count` GPUs. `auto` takes NCCL where every
// local rank has a GPU of its own, or share_gpus says that it need not; shared memory where all ranks are on
// one machine; where an MPI launcher started us, else, sockets of our own between machines and MPI within
// one; else Gloo over a TCP store. Throws std::invalid_argument for an unknown name, or one that cannot work
// here, saying why.
BackendChoice choose_backend(const CommunicatorOptions& options, int gpu_count);

// Joins the other ranks; every rank calls it. Throws std::invalid_argument for options that cannot work (exit
// code 2) and CommError when the peers cannot be reached within the timeout.
CommunicatorPtr create_communicator(const CommunicatorOptions& options = {});

// The ranks of `parent` that give the same `color` as ranks of their own, in the order in which they are in
// `parent`; null for a rank that gives a negative one (MPI_Comm_split's rules). A collective of `parent`,
// with the options that it was created with: of these the device, the reduction order, the timeout and NCCL's
// count. CUDA tensors go over NCCL where those of `parent` do. CPU tensors go through shared memory where
// options.device is the CPU and the ranks are on one machine, else over sockets.
//
// It is a communicator like any other, and may outlive `parent`; errors name ranks as `parent` does. With
// NCCL every rank must start the work of `parent` and of all its groups in the same order, and `parent` has
// to be created with for_groups. Throws CommError where ranks cannot be reached, std::invalid_argument, on
// all ranks, where options differ or cannot work.
CommunicatorPtr split_communicator(Communicator& parent, int color, const CommunicatorOptions& options = {});

std::vector<std::string> backend_names();

// "pytorch", "tree" or "fast", as --reduction-order spells them. Throws std::invalid_argument for another
// name.
ReductionOrder parse_reduction_order(const std::string& name);
std::string to_string(ReductionOrder order);

}  // namespace lockstep

// NCCL for GPU tensors, with a host communicator beside it for CPU tensors and the rendezvous.
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "comm/communicator.h"

namespace lockstep {

struct NcclOptions {
  at::Device device = at::kCUDA;
  std::chrono::milliseconds timeout = std::chrono::minutes(10);
  ReductionOrder order = ReductionOrder::kFast;  // or kTree
  std::string memory = "auto";                   // of allocate(): comm/nccl_memory.h
  std::function<void(const std::string& line)> warn;
};

// One rank per GPU `device`. Collectives on CUDA tensors run on a high-priority stream of their own: they
// wait for what the current stream has queued, and Work::wait() makes the current stream wait for them; the
// host never waits. CPU tensors go through `host`. A watchdog thread looks for asynchronous errors and for
// collectives older than the timeout, and aborts the communicator, which frees the kernels that hang; the
// next call or wait() throws the CommError.
//
// Order kFast is NCCL's own, which is what PyTorch DDP has on a GPU. In order kTree floating-point sums of
// three ranks and more are added up by ourselves (comm/tree_exchange.h) with the bits of the CPU's tree;
// those of two ranks have but one order. allocate() is a collective here.
//
// Throws CommError if NCCL cannot be initialised, std::invalid_argument for options that cannot be had.
CommunicatorPtr create_nccl_communicator(CommunicatorPtr host, NcclOptions options);

}  // namespace lockstep

// NCCL for GPU tensors, with a host communicator beside it for CPU tensors and the rendezvous.
#pragma once

#include <chrono>

#include "comm/communicator.h"

namespace lockstep {

// One rank per GPU `device`. Collectives on CUDA tensors run on a high-priority stream of their own: they
// wait for what the current stream has queued, and Work::wait() makes the current stream wait for them; the
// host never waits. CPU tensors go through `host`. A watchdog thread looks for asynchronous errors and for
// collectives older than `timeout`, and aborts the communicator, which frees the kernels that hang; the next
// call or wait() throws the CommError. Sums are in NCCL's order, which is what PyTorch DDP has on a GPU.
// Throws CommError if NCCL cannot be initialised.
CommunicatorPtr create_nccl_communicator(CommunicatorPtr host, at::Device device,
                                         std::chrono::milliseconds timeout);

}  // namespace lockstep

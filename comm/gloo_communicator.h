// LibTorch's own Gloo process group behind our interface, for launchers without MPI (torchrun, srun).
#pragma once

#include "comm/communicator.h"

namespace lockstep {

struct CommunicatorOptions;

// Joins a TCP store at options.master_addr:master_port (or MASTER_ADDR and MASTER_PORT), which rank 0 hosts
// unless torchrun's agent does. GLOO_SOCKET_IFNAME chooses the network interface, as in PyTorch. Sums have
// PyTorch DDP's bits by definition. abort() fails later collectives; those under way end by their timeout,
// since LibTorch's Gloo cannot be interrupted. Throws std::invalid_argument if there is no address, CommError
// if the peers do not come within the timeout.
CommunicatorPtr create_gloo_communicator(const CommunicatorOptions& options);

}  // namespace lockstep

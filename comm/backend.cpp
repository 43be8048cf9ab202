#include "comm/backend.h"

#include <c10/cuda/CUDAFunctions.h>

#include <cstdlib>
#include <stdexcept>

#include "comm/agreement.h"
#include "comm/gloo_communicator.h"
#include "comm/mpi_transport.h"
#include "comm/nccl_communicator.h"
#include "comm/ring_communicator.h"
#include "comm/thread_communicator.h"

namespace lockstep {
namespace {

using Create = CommunicatorPtr (*)(const CommunicatorOptions&);

// Ranks that chose differently (one machine has no GPU) would wait in each other's way for ever.
void require_same_choice(const CommunicatorOptions& options, const char* backend,
                         Communicator& communicator) {
  const std::string device = options.device.is_cuda() ? "cuda" : "cpu";
  const std::string difference = find_disagreement({{"backend", backend}, {"device", device}}, communicator);
  if (!difference.empty()) throw std::invalid_argument("the ranks do not agree: " + difference);
}

CommunicatorPtr create_mpi(const CommunicatorOptions& options) {
  return std::make_shared<RingCommunicator>(
      "mpi", [placement = options.placement] { return make_mpi_transport(placement); }, options.timeout);
}

CommunicatorPtr create_single(const CommunicatorOptions& options) {
  return make_thread_communicators(1, options.timeout).front();
}

// What carries CPU tensors, and NCCL's rendezvous, beside NCCL.
CommunicatorPtr create_host_communicator(const CommunicatorOptions& options) {
  if (options.placement.mpi_launched()) return create_mpi(options);
  if (options.placement.world_size == 1) return create_single(options);
  return create_gloo_communicator(options);
}

CommunicatorPtr create_nccl(const CommunicatorOptions& options) {
  const CommunicatorPtr host = create_host_communicator(options);
  require_same_choice(options, "nccl", *host);
  return create_nccl_communicator(host, options.device, options.timeout);
}

struct Backend {
  const char* name;
  Create create;
};

constexpr Backend kBackends[] = {
    {"nccl", create_nccl},
    {"mpi", create_mpi},
    {"gloo", create_gloo_communicator},
    {"threads", create_single},
};

std::string ranks(int count) {
  return std::to_string(count) + (count == 1 ? " rank" : " ranks");
}

BackendChoice choose_automatically(const CommunicatorOptions& options, int gpu_count) {
  const Placement& placement = options.placement;
  if (options.device.is_cuda() && gpu_count >= placement.local_world_size) {
    return {"nccl", "each rank has a GPU of its own"};
  }
  const std::string shared = options.device.is_cuda() ? ranks(placement.local_world_size) + " share " +
                                                            std::to_string(gpu_count) + " GPU(s), and "
                                                      : "";
  if (placement.mpi_launched()) return {"mpi", shared + "an MPI launcher started this process"};
  if (placement.world_size == 1) return {"threads", "there is one rank only"};
  return {"gloo", shared + to_string(placement.launched_by) + " started this process, not MPI"};
}

void check_possible(const CommunicatorOptions& options, const std::string& name, int gpu_count) {
  const Placement& placement = options.placement;
  const auto refuse = [&](const std::string& why) {
    throw std::invalid_argument("--backend " + name + ": " + why);
  };
  if (name == "nccl" && !options.device.is_cuda())
    refuse("NCCL moves GPU tensors only; use --device cuda, or --backend mpi");
  if (name == "nccl" && gpu_count < placement.local_world_size) {
    refuse(ranks(placement.local_world_size) + " on this machine need as many GPUs, it has " +
           std::to_string(gpu_count) + "; use fewer ranks, or --backend mpi, which lets ranks share a GPU");
  }
  if (name == "mpi" && !placement.mpi_launched()) {
    refuse("this process was not started by mpirun (but by " + to_string(placement.launched_by) +
           "); use --backend gloo, or start it with lockstep train");
  }
  if (name == "threads" && placement.world_size != 1)
    refuse("ranks in threads of one process cannot span processes");
}

}  // namespace

std::vector<std::string> backend_names() {
  std::vector<std::string> names = {"auto"};
  for (const Backend& backend : kBackends) names.emplace_back(backend.name);
  return names;
}

BackendChoice choose_backend(const CommunicatorOptions& options, int gpu_count) {
  if (options.backend == "auto") return choose_automatically(options, gpu_count);
  for (const Backend& backend : kBackends) {
    if (options.backend != backend.name) continue;
    check_possible(options, options.backend, gpu_count);
    return {options.backend, "it was asked for"};
  }
  std::string known;
  for (const std::string& name : backend_names()) known += (known.empty() ? "" : ", ") + name;
  throw std::invalid_argument("--backend " + options.backend + " is unknown; known are " + known);
}

CommunicatorPtr create_communicator(const CommunicatorOptions& options) {
  const int gpu_count = options.device.is_cuda() ? c10::cuda::device_count() : 0;
  const std::string name = choose_backend(options, gpu_count).name;
  for (const Backend& backend : kBackends) {
    if (name != backend.name) continue;
    CommunicatorPtr communicator = backend.create(options);
    if (name != "nccl") require_same_choice(options, backend.name, *communicator);
    return communicator;
  }
  throw std::logic_error("choose_backend named a backend that is not in the table");
}

}  // namespace lockstep

#include "comm/backend.h"

#include <c10/cuda/CUDAFunctions.h>

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <stdexcept>
#include <utility>
#include <vector>

#include "comm/agreement.h"
#include "comm/gloo_communicator.h"
#include "comm/mpi_transport.h"
#include "comm/nccl_communicator.h"
#include "comm/nccl_library.h"
#include "comm/ring_communicator.h"
#include "comm/shared_memory.h"
#include "comm/shared_memory_communicator.h"
#include "comm/socket_mesh.h"
#include "comm/socket_transport.h"
#include "comm/tcp_runner.h"
#include "comm/thread_communicator.h"

namespace lockstep {
namespace {

using Create = CommunicatorPtr (*)(const CommunicatorOptions&);

std::string ranks(int count) {
  return std::to_string(count) + (count == 1 ? " rank" : " ranks");
}

// Several ranks on one GPU are more than most NCCLs can.
void check_sharing(const CommunicatorOptions& options, int gpu_count,
                   const std::function<void(const std::string&)>& refuse) {
  const std::string needed = nccl_version_text(kNcclSharesGpus);
  if (!options.share_gpus) {
    refuse(ranks(options.placement.local_world_size) + " on this machine need as many GPUs, it has " +
           std::to_string(gpu_count) +
           "; use fewer ranks, or --backend mpi, which lets ranks share a GPU, or --share-gpus with NCCL " +
           needed + " or newer");
  }
  if (options.nccl_version < kNcclSharesGpus) {
    refuse("--share-gpus: " + ranks(options.placement.local_world_size) + " on " + std::to_string(gpu_count) +
           " GPU(s) need NCCL " + needed + " or newer, and " + nccl_version_text(options.nccl_version) +
           " is loaded; put a newer libnccl.so.2 into LD_PRELOAD, or use --backend mpi");
  }
}

void check_possible(const CommunicatorOptions& options, const std::string& name, int gpu_count) {
  const Placement& placement = options.placement;
  const auto refuse = [&](const std::string& why) {
    throw std::invalid_argument("--backend " + name + ": " + why);
  };
  if (name == "nccl" && !options.device.is_cuda())
    refuse("NCCL moves GPU tensors only; use --device cuda, or --backend mpi");
  if (name == "nccl" && gpu_count < placement.local_world_size) check_sharing(options, gpu_count, refuse);
  if (name == "gloo" && options.reduction_order == ReductionOrder::kTree)
    refuse("Gloo adds in its own order, which is pytorch's; use --reduction-order pytorch, or --backend tcp");
  if (name == "shm" && !options.device.is_cpu())
    refuse("GPU tensors do not lie in shared memory; use --backend mpi");
  if (name == "shm" && placement.world_size != placement.local_world_size)
    refuse("the ranks are on several machines; use --backend tcp, mpi or gloo");
  if (name == "mpi" && !placement.mpi_launched()) {
    refuse("this process was not started by mpirun (but by " + to_string(placement.launched_by) +
           "); use --backend gloo, or start it with lockstep train");
  }
  if (name == "threads" && placement.world_size != 1)
    refuse("ranks in threads of one process cannot span processes");
}

// Ranks that chose differently (one machine has no GPU) would wait in each other's way for ever.
void require_same_choice(const CommunicatorOptions& options, const char* backend,
                         Communicator& communicator) {
  const std::string device = options.device.is_cuda() ? "cuda" : "cpu";
  KeyValues choice = {{"backend", backend}, {"device", device}};
  if (choice.front().second == "nccl") choice.emplace_back("NCCL", nccl_version_text(options.nccl_version));
  const std::string difference = find_disagreement(choice, communicator);
  if (!difference.empty()) throw std::invalid_argument("the ranks do not agree: " + difference);
}

CommunicatorPtr create_mpi(const CommunicatorOptions& options) {
  return std::make_shared<RingCommunicator>(
      "mpi", [placement = options.placement] { return make_mpi_transport(placement); }, options.timeout,
      options.reduction_order);
}

CommunicatorPtr create_single(const CommunicatorOptions& options) {
  return make_thread_communicators(1, options.timeout, options.reduction_order).front();
}

// What carries CPU tensors, and NCCL's rendezvous, beside NCCL.
CommunicatorPtr create_host_communicator(const CommunicatorOptions& options) {
  if (options.placement.mpi_launched()) return create_mpi(options);
  if (options.placement.world_size == 1) return create_single(options);
  return create_gloo_communicator(options);
}

void warn(const CommunicatorOptions& options, const std::string& line) {
  if (options.placement.rank != 0) return;
  if (options.warn) {
    options.warn(line);
  } else {
    std::fprintf(stderr, "lockstep: warning: %s\n", line.c_str());
  }
}

CommunicatorPtr create_shm(const CommunicatorOptions& options) {
  const CommunicatorPtr host = create_host_communicator(options);
  const auto created = SharedMemoryCommunicator::create(host, options.reduction_order, options.timeout);
  if (created.communicator) return created.communicator;
  if (options.backend != "auto") {
    host->shutdown();
    throw std::invalid_argument("--backend shm: " + created.problem + "; use --backend " + host->backend());
  }
  check_possible(options, host->backend(), 0);
  warn(options, "no shared memory (" + created.problem + "); gradients go over " + host->backend());
  return host;
}

CommunicatorPtr create_tcp(const CommunicatorOptions& options) {
  const TcpOptions tcp{options.reduction_order, options.timeout, socket_interfaces_from_environment(),
                       machine_identity(), [options](const std::string& line) { warn(options, line); }};
  const CommunicatorPtr host = create_host_communicator(options);
  return std::make_shared<RingCommunicator>(
      "tcp", RingCommunicator::MakeRunner([host, tcp] { return make_tcp_runner(host, tcp); }),
      options.timeout, options.reduction_order);
}

NcclOptions nccl_options(const CommunicatorOptions& options) {
  NcclOptions nccl;
  nccl.device = options.device;
  nccl.timeout = options.timeout;
  nccl.order =
      options.reduction_order == ReductionOrder::kTree ? ReductionOrder::kTree : ReductionOrder::kFast;
  nccl.memory = options.share_gpus && options.nccl_memory == "auto" ? "ordinary" : options.nccl_memory;
  nccl.warn = [options](const std::string& line) { warn(options, line); };
  return nccl;
}

CommunicatorPtr create_nccl(const CommunicatorOptions& options) {
  if (options.for_groups) {
    order_nccl_launches();
    if (options.nccl_version < kNcclOrdersLaunches) {
      warn(options,
           "NCCL " + nccl_version_text(options.nccl_version) +
               " cannot order the work of several communicators, which may then wait for each other: "
               "groups of ranks need " +
               nccl_version_text(kNcclOrdersLaunches) + " or newer");
    }
  }
  const CommunicatorPtr host = create_host_communicator(options);
  require_same_choice(options, "nccl", *host);
  if (c10::cuda::device_count() < options.placement.local_world_size)
    warn(options, "ranks share GPUs under NCCL, which is experimental: " + prepare_nccl_to_share_gpus());
  return create_nccl_communicator(host, nccl_options(options));
}

// A colour, and the machine that the rank is on.
struct Place {
  int color;
  std::string machine;
};

std::vector<Place> find_places(Communicator& parent, int color, const std::string& machine) {
  std::vector<Place> places;
  for (const std::string& place : gather_texts(std::to_string(color) + " " + machine, parent)) {
    const std::size_t space = place.find(' ');
    places.push_back({std::stoi(place.substr(0, space)), place.substr(space + 1)});
  }
  return places;
}

// Ranks that would split differently would wait for each other for ever.
void require_same_split(const CommunicatorOptions& options, Communicator& parent) {
  const std::string difference = find_disagreement({{"device", options.device.is_cuda() ? "cuda" : "cpu"},
                                                    {"reduction order", to_string(options.reduction_order)},
                                                    {"NCCL memory", options.nccl_memory}},
                                                   parent);
  if (!difference.empty())
    throw std::invalid_argument("split_communicator: the ranks do not agree: " + difference);
  if (parent.backend() == "nccl" && !options.device.is_cuda())
    throw std::invalid_argument("split_communicator: the parent is NCCL's, and options.device is no GPU");
}

struct Backend {
  const char* name;
  Create create;
};

constexpr Backend kBackends[] = {
    {"nccl", create_nccl},
    {"shm", create_shm},
    {"tcp", create_tcp},
    {"mpi", create_mpi},
    {"gloo", create_gloo_communicator},
    {"threads", create_single},
};

BackendChoice choose_automatically(const CommunicatorOptions& options, int gpu_count) {
  const Placement& placement = options.placement;
  if (options.device.is_cuda() && gpu_count >= placement.local_world_size) {
    return {"nccl", "each rank has a GPU of its own"};
  }
  if (options.device.is_cuda() && options.share_gpus) {
    return {"nccl",
            ranks(placement.local_world_size) + " are to share " + std::to_string(gpu_count) + " GPU(s)"};
  }
  const std::string shared = options.device.is_cuda() ? ranks(placement.local_world_size) + " share " +
                                                            std::to_string(gpu_count) + " GPU(s), and "
                                                      : "";
  if (options.device.is_cpu() && placement.world_size > 1 &&
      placement.local_world_size == placement.world_size) {
    return {"shm", "all ranks are on one machine"};
  }
  if (placement.mpi_launched() && placement.local_world_size != placement.world_size)
    return {"tcp", shared + "the ranks are on several machines"};
  if (placement.mpi_launched()) return {"mpi", shared + "an MPI launcher started this process"};
  if (placement.world_size == 1) return {"threads", "there is one rank only"};
  return {"gloo", shared + to_string(placement.launched_by) + " started this process, not MPI"};
}

}  // namespace

std::vector<std::string> backend_names() {
  std::vector<std::string> names = {"auto"};
  for (const Backend& backend : kBackends) names.emplace_back(backend.name);
  return names;
}

ReductionOrder parse_reduction_order(const std::string& name) {
  for (const ReductionOrder order :
       {ReductionOrder::kPytorch, ReductionOrder::kTree, ReductionOrder::kFast}) {
    if (name == to_string(order)) return order;
  }
  throw std::invalid_argument("reduction order " + name + " is unknown; known are pytorch, tree, fast");
}

std::string to_string(ReductionOrder order) {
  switch (order) {
    case ReductionOrder::kPytorch:
      return "pytorch";
    case ReductionOrder::kTree:
      return "tree";
    case ReductionOrder::kFast:
      return "fast";
  }
  throw std::invalid_argument("a reduction order that is none of pytorch, tree and fast");
}

BackendChoice choose_backend(const CommunicatorOptions& options, int gpu_count) {
  if (options.backend == "auto") {
    const BackendChoice choice = choose_automatically(options, gpu_count);
    check_possible(options, choice.name, gpu_count);
    return choice;
  }
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
    if (name != "nccl") require_same_choice(options, communicator->backend().c_str(), *communicator);
    return communicator;
  }
  throw std::logic_error("choose_backend named a backend that is not in the table");
}

CommunicatorPtr split_communicator(Communicator& parent, int color, const CommunicatorOptions& options) {
  require_same_split(options, parent);
  const std::string machine = machine_identity();
  const std::vector<Place> places = find_places(parent, color, machine);
  SocketOptions sockets{{}, socket_interfaces_from_environment(), options.timeout};
  bool one_machine = parent.backend() != "threads";  // whose ranks are no processes
  int ranks_on_machine = 0;
  for (int rank = 0; rank < parent.world_size(); ++rank) {
    const Place& place = places[static_cast<std::size_t>(rank)];
    if (place.machine == machine) ++ranks_on_machine;
    if (place.color != color) continue;
    sockets.members.push_back(rank);
    one_machine = one_machine && place.machine == machine;
  }
  if (color < 0) {
    connect_sockets(parent, {}, sockets.interfaces, sockets.timeout);
    return nullptr;
  }
  // On this thread, since `parent` is its; the communicator's own takes it over.
  const auto transport = std::make_shared<std::unique_ptr<Transport>>(make_socket_transport(parent, sockets));
  const CommunicatorPtr host = std::make_shared<RingCommunicator>(
      "tcp", RingCommunicator::MakeTransport([transport] { return std::move(*transport); }), options.timeout,
      options.reduction_order);
  if (parent.backend() == "nccl") return create_nccl_communicator(host, nccl_options(options));
  if (!one_machine || !options.device.is_cpu()) return host;
  const auto created =
      SharedMemoryCommunicator::create(host, options.reduction_order, options.timeout, ranks_on_machine);
  if (created.communicator) return created.communicator;
  if (host->rank() == 0 && options.warn) {
    options.warn("no shared memory for the group of rank " + std::to_string(host->named_rank(0)) + " (" +
                 created.problem + "); it communicates over tcp");
  }
  return host;
}

}  // namespace lockstep

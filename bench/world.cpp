#include "bench/world.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <arpa/inet.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>
#include <ifaddrs.h>
#include <torch/version.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <stdexcept>

#include "bench/peers/mpi_world.h"
#include "bench/report/statistics.h"
#include "comm/agreement.h"
#include "comm/backend.h"
#include "comm/cuda_device.h"
#include "comm/nccl_library.h"
#include "trainer/signals.h"

namespace lockstep {
namespace {

using Clock = std::chrono::steady_clock;

CommunicatorOptions communicator_options(const BenchSetting& setting, const Placement& placement,
                                         at::Device device) {
  CommunicatorOptions options;
  options.placement = placement;
  options.backend = setting.backend;
  options.device = device;
  options.share_gpus = setting.share_gpus;
  options.nccl_memory = setting.nccl_memory;
  options.reduction_order = parse_reduction_order(setting.reduction_order);
  options.timeout = std::chrono::milliseconds(static_cast<std::int64_t>(setting.timeout_s * 1000.0));
  options.master_addr = setting.master_addr;
  options.master_port = setting.master_port;
  return options;
}

std::string environment_or(const char* name, const std::string& otherwise) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0' ? value : otherwise;
}

void describe_gpu(RunFacts& facts) {
  int index = 0;
  cudaDeviceProp properties{};
  C10_CUDA_CHECK(cudaGetDevice(&index));
  C10_CUDA_CHECK(cudaGetDeviceProperties(&properties, index));
  facts.machine.gpu = properties.name;
  const CudaVersions cuda = cuda_versions();
  facts.versions.emplace_back("CUDA", cuda_version_text(cuda.runtime));
  facts.versions.emplace_back("CUDA of the driver", cuda_version_text(cuda.driver));
  facts.versions.emplace_back("NCCL", nccl_version_text(nccl_version()));
}

double median_barrier_s(Communicator& communicator) {
  constexpr int kWarmUp = 20;
  constexpr int kTimed = 101;
  std::vector<double> times;
  for (int i = 0; i < kWarmUp + kTimed; ++i) {
    const auto begin = Clock::now();
    communicator.barrier();
    if (i >= kWarmUp) times.push_back(std::chrono::duration<double>(Clock::now() - begin).count());
  }
  return spread_of(times).median;
}

}  // namespace

BenchWorld::BenchWorld(const BenchSetting& setting, const Placement& placement, bool with_mpi)
    : setting_(setting), placement_(placement), device_(choose_device(setting.device, placement)) {
  // MPI first: whoever initialises it decides on the thread level, and its peer calls come from this thread.
  if (with_mpi) mpi_ = std::make_unique<MpiWorld>(placement);
  if (device_.is_cuda()) c10::cuda::set_device(device_.index());
  const CommunicatorOptions options = communicator_options(setting, placement, device_);
  communicator_ = create_communicator(options);
  if (communicator_->reduction_order() != options.reduction_order && world_size() > 2) {
    throw std::invalid_argument("--reduction-order " + setting.reduction_order + ": the " +
                                communicator_->backend() + " backend adds up in the order " +
                                to_string(communicator_->reduction_order()) +
                                "; ask for that, or for another --backend");
  }
  facts_.machine = read_machine();
  facts_.versions = {{"Lockstep", LOCKSTEP_VERSION}, {"LibTorch", TORCH_VERSION}, {"GCC", __VERSION__}};
  if (mpi_) facts_.versions.emplace_back("MPI", mpi_->library_version());
  if (device_.is_cuda()) describe_gpu(facts_);
  facts_.command = environment_or("LOCKSTEP_COMMAND", "lockstep-bench, started by hand");
  facts_.world_size = world_size();
  facts_.hosts = static_cast<int>(total(placement.local_rank == 0 ? 1 : 0));
  facts_.backend = communicator_->backend();
  const int gpus = device_.is_cuda() ? c10::cuda::device_count() : 0;
  const BackendChoice choice = choose_backend(options, gpus);
  facts_.backend_reason = choice.name == facts_.backend ? choice.reason : choice.name + " was not to be had";
  facts_.reduction_order = to_string(communicator_->reduction_order());
  facts_.warm_heap = environment_or("MALLOC_MMAP_MAX_", "") == "0";
  facts_.barrier_s = slowest({median_barrier_s(*communicator_)}).front();
}

BenchWorld::~BenchWorld() = default;

std::string BenchWorld::interface() const {
  const std::string named =
      setting_.interface.empty() ? environment_or("GLOO_SOCKET_IFNAME", "") : setting_.interface;
  if (!named.empty()) return named;
  if (facts_.hosts > 1) {
    throw std::invalid_argument(
        "--interface: ranks on several machines need the network interface for the peers' sockets, such as "
        "--interface eth0");
  }
  return "lo";
}

void BenchWorld::wait_for_device() const {
  if (device_.is_cuda()) c10::cuda::getCurrentCUDAStream(device_.index()).synchronize();
}

std::vector<double> BenchWorld::slowest(std::vector<double> seconds) const {
  const at::Tensor tensor =
      at::empty({static_cast<std::int64_t>(seconds.size())}, at::TensorOptions().dtype(at::kDouble));
  std::copy(seconds.begin(), seconds.end(), tensor.mutable_data_ptr<double>());
  communicator_->all_reduce(tensor, ReduceOp::kMax)->wait();
  std::copy_n(tensor.const_data_ptr<double>(), seconds.size(), seconds.begin());
  return seconds;
}

std::int64_t BenchWorld::total(std::int64_t count) const {
  const at::Tensor tensor = at::full({1}, count, at::TensorOptions().dtype(at::kLong));
  communicator_->all_reduce(tensor, ReduceOp::kSum)->wait();
  return tensor.item<std::int64_t>();
}

bool BenchWorld::stop_requested() const {
  return total(pause_requested() ? 1 : 0) > 0;
}

std::vector<std::string> BenchWorld::gather(const std::string& mine) const {
  std::vector<std::string> texts;
  for (int root = 0; root < world_size(); ++root) texts.push_back(broadcast_text(mine, root, *communicator_));
  return texts;
}

void BenchWorld::close() {
  communicator_->shutdown();
  if (mpi_) mpi_->finalize();
}

std::string address_of_interface(const std::string& name) {
  ifaddrs* all = nullptr;
  if (getifaddrs(&all) != 0)
    throw std::invalid_argument("--interface: this machine's interfaces cannot be listed");
  std::string address;
  std::string known;
  for (const ifaddrs* entry = all; entry != nullptr; entry = entry->ifa_next) {
    if (entry->ifa_addr == nullptr || entry->ifa_addr->sa_family != AF_INET) continue;
    known += (known.empty() ? "" : ", ") + std::string(entry->ifa_name);
    if (name != entry->ifa_name || !address.empty()) continue;
    char text[INET_ADDRSTRLEN] = {};
    const auto* internet = reinterpret_cast<const sockaddr_in*>(entry->ifa_addr);
    inet_ntop(AF_INET, &internet->sin_addr, text, sizeof(text));
    address = text;
  }
  freeifaddrs(all);
  if (address.empty()) {
    throw std::invalid_argument("--interface: \"" + name + "\" has no IPv4 address here; there are " + known);
  }
  return address;
}

}  // namespace lockstep

// A bare timing loop around the calls that `lockstep bench all-reduce --compare gloo,mpi` makes, to hold the
// harness against (scripts/bench_harness). `lockstep bench` starts it in place of lockstep-bench, with the
// same options, so that environment, placement and flags are the same; it takes one size and one peer, and
// prints the median of the slowest rank's times in microseconds.
#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <mpi.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <stdexcept>
#include <string>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#include <variant>
#include <vector>

#include "bench/collective_bench.h"
#include "bench/config/bench_command_line.h"
#include "comm/placement.h"
#include "trainer/rank_exit.h"

namespace {

using AllReduce = std::function<void(const at::Tensor&)>;

// As many operations in succession as the harness has in a turn, below a megabyte.
constexpr std::int64_t kTurnBytes = 1 << 20;
constexpr std::int64_t kMostOperations = 64;

AllReduce mpi_all_reduce() {
  return [](const at::Tensor& tensor) {
    MPI_Allreduce(MPI_IN_PLACE, tensor.mutable_data_ptr(), static_cast<int>(tensor.numel()), MPI_FLOAT,
                  MPI_SUM, MPI_COMM_WORLD);
  };
}

AllReduce gloo_all_reduce(const lockstep::Placement& placement) {
  c10d::TCPStoreOptions store_options;
  store_options.isServer = placement.rank == 0;
  store_options.waitWorkers = false;
  int port = 0;
  c10::intrusive_ptr<c10d::Store> store;
  if (placement.rank == 0) {
    store_options.port = 0;
    const auto server = c10::make_intrusive<c10d::TCPStore>("127.0.0.1", store_options);
    port = server->getPort();
    store = server;
  }
  MPI_Bcast(&port, 1, MPI_INT, 0, MPI_COMM_WORLD);
  store_options.port = static_cast<std::uint16_t>(port);
  if (!store) store = c10::make_intrusive<c10d::TCPStore>("127.0.0.1", store_options);
  const auto options = c10d::ProcessGroupGloo::Options::create(std::chrono::minutes(1));
  options->devices.push_back(c10d::ProcessGroupGloo::createDeviceForInterface("lo"));
  const auto group =
      c10::make_intrusive<c10d::ProcessGroupGloo>(store, placement.rank, placement.world_size, options);
  return [group](const at::Tensor& tensor) {
    std::vector<at::Tensor> tensors = {tensor};
    group->allreduce(tensors)->wait();
  };
}

std::vector<double> time_rounds(const lockstep::CollectiveConfig& config, std::int64_t bytes,
                                const AllReduce& all_reduce) {
  using Clock = std::chrono::steady_clock;
  std::vector<at::Tensor> tensors;
  for (std::int64_t i = 0; i < std::clamp(kTurnBytes / bytes, std::int64_t{1}, kMostOperations); ++i)
    tensors.push_back(at::empty({bytes / static_cast<std::int64_t>(sizeof(float))}));
  std::vector<double> times_s;
  for (int round = -config.warmup_iters; round < config.iters; ++round) {
    for (const at::Tensor& tensor : tensors)
      std::fill_n(tensor.mutable_data_ptr<float>(), tensor.numel(), 1.0F);
    MPI_Barrier(MPI_COMM_WORLD);
    const auto begin = Clock::now();
    for (const at::Tensor& tensor : tensors) all_reduce(tensor);
    const std::chrono::duration<double> elapsed = Clock::now() - begin;
    if (round >= 0) times_s.push_back(elapsed.count() / static_cast<double>(tensors.size()));
  }
  MPI_Allreduce(MPI_IN_PLACE, times_s.data(), static_cast<int>(times_s.size()), MPI_DOUBLE, MPI_MAX,
                MPI_COMM_WORLD);
  return times_s;
}

lockstep::RankEnding measure(const std::vector<std::string>& arguments,
                             const lockstep::Placement& placement) {
  const std::string bench = lockstep::bench_name(arguments);
  const std::vector<std::string> flags(arguments.begin() + 1, arguments.end());
  const auto config = std::get<lockstep::CollectiveConfig>(
      lockstep::resolve_bench_config(bench, lockstep::split_flags(flags, lockstep::bench_flag_specs(bench))));
  const auto sizes = lockstep::sizes_of(config, sizeof(float), placement.world_size);
  if (config.collective != lockstep::Collective::kAllReduce || sizes.size() != 1 ||
      (config.compare != "gloo" && config.compare != "mpi") || config.buffers != "fresh" ||
      !config.in_place) {
    throw std::invalid_argument("the bare loop takes one size of all-reduce, and --compare gloo or mpi");
  }
  at::set_num_threads(1);
  MPI_Init(nullptr, nullptr);
  auto times_s = time_rounds(config, sizes.front(),
                             config.compare == "mpi" ? mpi_all_reduce() : gloo_all_reduce(placement));
  const auto middle = times_s.begin() + static_cast<std::ptrdiff_t>(times_s.size() / 2);
  std::nth_element(times_s.begin(), middle, times_s.end());
  if (placement.rank == 0)
    std::printf("bare %s %lld %.9g\n", config.compare.c_str(), static_cast<long long>(sizes.front()),
                *middle * 1e6);
  MPI_Finalize();
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  const lockstep::Placement placement = lockstep::read_placement();
  lockstep::end_rank(placement.rank, [&] { return measure({argv + 1, argv + argc}, placement); });
}

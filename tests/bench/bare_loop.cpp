// A bare timing loop around the calls that `lockstep bench all-reduce --compare gloo,mpi` makes, to hold the
// harness against (scripts/bench_harness). `lockstep bench` starts it in place of lockstep-bench, with the
// same options, so that environment, placement and flags are the same; it takes one size and one peer. The
// harness and the loop take turns of a few rounds in these same processes: what one start of them, or one
// second, has over the next in how the kernel places threads is more than the harness could be wrong by. For
// each turn it prints the medians of the slowest rank's times in microseconds, and what the harness takes.
#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <mpi.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <stdexcept>
#include <string>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <utility>
#include <variant>
#include <vector>

#include "bench/collective_bench.h"
#include "bench/config/bench_command_line.h"
#include "bench/peers/gloo_group.h"
#include "bench/world.h"
#include "comm/placement.h"
#include "trainer/rank_exit.h"

namespace {

// The calls of one library.
struct Library {
  std::function<void(const at::Tensor&)> all_reduce;
  std::function<void()> barrier;
};

// As many operations in succession as the harness has in a turn, below a megabyte.
constexpr std::int64_t kTurnBytes = 1 << 20;
constexpr std::int64_t kMostOperations = 64;
constexpr int kRounds = 5;  // of a turn, and one to warm up

Library mpi_library() {
  return {.all_reduce =
              [](const at::Tensor& tensor) {
                MPI_Allreduce(MPI_IN_PLACE, tensor.mutable_data_ptr(), static_cast<int>(tensor.numel()),
                              MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
              },
          .barrier = [] { MPI_Barrier(MPI_COMM_WORLD); }};
}

// Over sockets of its own.
Library gloo_library(const lockstep::BenchWorld& world) {
  const auto group = lockstep::make_gloo_group(world, "bare");
  return {.all_reduce =
              [group](const at::Tensor& tensor) {
                std::vector<at::Tensor> tensors = {tensor};
                group->allreduce(tensors)->wait();
              },
          .barrier = [group] { group->barrier()->wait(); }};
}

class BareLoop {
 public:
  BareLoop(std::int64_t bytes, Library library) : library_(std::move(library)) {
    for (std::int64_t i = 0; i < std::clamp(kTurnBytes / bytes, std::int64_t{1}, kMostOperations); ++i)
      tensors_.push_back(at::empty({bytes / static_cast<std::int64_t>(sizeof(float))}));
  }

  // Of one operation, the slowest rank's; the median of a turn's rounds.
  double turn_us() const {
    using Clock = std::chrono::steady_clock;
    std::array<double, kRounds> times_us{};
    for (int round = -1; round < kRounds; ++round) {
      for (const at::Tensor& tensor : tensors_)
        std::fill_n(tensor.mutable_data_ptr<float>(), tensor.numel(), 1.0F);
      library_.barrier();
      const auto begin = Clock::now();
      for (const at::Tensor& tensor : tensors_) library_.all_reduce(tensor);
      const std::chrono::duration<double, std::micro> elapsed = Clock::now() - begin;
      if (round >= 0)
        times_us[static_cast<std::size_t>(round)] = elapsed.count() / static_cast<double>(tensors_.size());
    }
    MPI_Allreduce(MPI_IN_PLACE, times_us.data(), kRounds, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    std::sort(times_us.begin(), times_us.end());
    return times_us[kRounds / 2];
  }

 private:
  const Library library_;
  std::vector<at::Tensor> tensors_;
};

void hold_against_each_other(const lockstep::CollectiveConfig& config, lockstep::BenchWorld& world) {
  const auto contenders = lockstep::make_collective_contenders(config, world);
  const auto sizes = lockstep::sizes_of(config, sizeof(float), world.world_size());
  const BareLoop bare(sizes.front(), config.compare == "mpi" ? mpi_library() : gloo_library(world));
  const double harness_us = 1e6 * lockstep::measure_harness_s(config, world);
  lockstep::CollectiveConfig of_turn = config;
  of_turn.warmup_iters = 1;
  of_turn.iters = kRounds;
  for (int turn = -1; turn < config.iters; ++turn) {
    double bare_us = turn % 2 == 0 ? bare.turn_us() : 0.0;
    const auto result = lockstep::measure_collective(of_turn, world, contenders, [](const auto&) {});
    if (result.stopped) return;
    if (turn % 2 != 0) bare_us = bare.turn_us();
    if (world.rank() != 0 || turn < 0) continue;
    const double bench_us = 1e6 * result.rows.back().time_s.median;
    std::printf("turn %.9g %.9g %.9g\n", bench_us, bare_us, harness_us);
  }
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
  lockstep::BenchWorld world(config, placement, /*with_mpi=*/true);
  hold_against_each_other(config, world);
  world.close();
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  const lockstep::Placement placement = lockstep::read_placement();
  lockstep::end_rank(placement.rank, [&] { return measure({argv + 1, argv + argc}, placement); });
}

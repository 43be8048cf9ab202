// On two GPUs and more: ranks are threads of this process, each with a GPU of its own.
#include "comm/nccl_communicator.h"

#include <ATen/ATen.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <future>
#include <vector>

#include "comm/errors.h"
#include "comm/sum_rows.h"
#include "tests/comm/collective_cases.h"
#include "tests/comm/rank_threads.h"

namespace lockstep {
namespace {

using ::testing::HasSubstr;

int gpu_count() {
  return std::min<int>(c10::cuda::device_count(), 8);
}

at::Device device_of(int rank) {
  return {at::kCUDA, static_cast<at::DeviceIndex>(rank)};
}

// `body` on `world_size` ranks, each of which leaves in good order unless it throws.
void run_gpus(int world_size, const NcclOptions& options,
              const std::function<void(Communicator&, at::Device)>& body) {
  testing::run_ranks(
      world_size,
      [&](Communicator& comm) {
        const at::Device device = device_of(comm.rank());
        const c10::cuda::CUDAGuard guard(device);
        body(comm, device);
      },
      std::chrono::seconds(60),
      [&](CommunicatorPtr host) {
        NcclOptions own = options;
        own.device = device_of(host->rank());
        own.warn = [](const std::string& line) { std::fprintf(stderr, "%s\n", line.c_str()); };
        return create_nccl_communicator(std::move(host), std::move(own));
      });
}

TEST(NcclCommunicatorTest, NeedsTwoGpus) {
  ASSERT_GE(gpu_count(), 2) << "a test labelled two_gpus was started with fewer";
}

TEST(NcclCommunicatorTest, EveryCollectiveIsExactInBothOrders) {
  for (const ReductionOrder order : {ReductionOrder::kFast, ReductionOrder::kTree}) {
    NcclOptions options;
    options.order = order;
    run_gpus(gpu_count(), options, [](Communicator& comm, at::Device device) {
      testing::check_all_collectives(comm, device);
      comm.shutdown();
    });
  }
}

TEST(NcclCommunicatorTest, TreeHasTheCpusBits) {
  for (int world_size = 2; world_size <= gpu_count(); ++world_size) {
    at::manual_seed(11);
    const at::Tensor all = at::randn({world_size, 100003});
    at::Tensor expected = at::empty({100003});
    sum_rows(expected, all, ReductionOrder::kTree);
    NcclOptions options;
    options.order = ReductionOrder::kTree;
    run_gpus(world_size, options, [&](Communicator& comm, at::Device device) {
      const at::Tensor mine = all[comm.rank()].clone().to(device);
      comm.all_reduce(mine)->wait();
      EXPECT_TRUE(at::equal(mine.cpu(), expected)) << world_size;
      comm.shutdown();
    });
  }
}

TEST(NcclCommunicatorTest, EachKindOfMemoryIsReducedExactly) {
  for (const char* memory : {"ordinary", "registered", "auto"}) {
    NcclOptions options;
    options.memory = memory;
    run_gpus(gpu_count(), options, [&](Communicator& comm, at::Device device) {
      for (int round = 0; round < 2; ++round) {
        const at::Tensor buffer = comm.allocate({3 << 20}, at::TensorOptions(device).dtype(at::kFloat));
        buffer.fill_(static_cast<double>(comm.rank()));
        comm.all_reduce(buffer)->wait();
        const float expected = static_cast<float>(comm.world_size() * (comm.world_size() - 1) / 2);
        EXPECT_EQ(buffer.min().item<float>(), expected) << memory;
        EXPECT_EQ(buffer.max().item<float>(), expected) << memory;
      }
      comm.shutdown();
    });
  }
}

// Rank 1 never comes to the collective: the watchdog's abort has to free rank 0's kernel.
TEST(NcclCommunicatorTest, AMissingPeerEndsTheWaitWithinTheTimeout) {
  NcclOptions options;
  options.timeout = std::chrono::seconds(3);
  std::promise<void> freed;
  std::shared_future<void> seen = freed.get_future().share();
  run_gpus(2, options, [&](Communicator& comm, at::Device device) {
    const at::Tensor tensor = at::ones({1 << 20}, at::TensorOptions(device).dtype(at::kFloat));
    comm.all_reduce(tensor)->wait();  // both have been connected
    comm.barrier();
    if (comm.rank() == 1) {
      EXPECT_EQ(seen.wait_for(std::chrono::seconds(30)), std::future_status::ready);
      return;
    }
    std::string why;
    try {
      comm.all_reduce(tensor)->wait();
      c10::cuda::getCurrentCUDAStream().synchronize();
      comm.all_reduce(tensor)->wait();
    } catch (const CommError& error) {
      why = error.what();
    }
    freed.set_value();
    EXPECT_THAT(why, HasSubstr("all_reduce #1 (Float[1048576]) timed out after 3 s"));
  });
}

}  // namespace
}  // namespace lockstep

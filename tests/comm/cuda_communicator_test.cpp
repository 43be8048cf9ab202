// On a GPU: what `auto` chooses there. One rank has NCCL; ranks that share a GPU stage through the host, or
// have an NCCL that can. Sums are in order kTree throughout, on whatever carries them.
#include <ATen/ATen.h>
#include <c10/cuda/CUDAFunctions.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <vector>

#include "comm/backend.h"
#include "comm/reducer.h"
#include "comm/sum_rows.h"
#include "tests/comm/collective_cases.h"

namespace lockstep {
namespace {

CommunicatorPtr g_comm;
at::Device g_device = at::kCPU;

// Set by scripts/gpu-check where the NCCL that is loaded can.
bool shares_gpus() {
  return std::getenv("LOCKSTEP_TEST_SHARE_GPUS") != nullptr;
}

class Communicators : public ::testing::Environment {
 public:
  void SetUp() override {
    ASSERT_GT(c10::cuda::device_count(), 0) << "a test labelled gpu was started without one";
    CommunicatorOptions options;
    options.timeout = std::chrono::seconds(60);
    g_device = {at::kCUDA,
                static_cast<at::DeviceIndex>(options.placement.local_rank % c10::cuda::device_count())};
    c10::cuda::set_device(g_device.index());
    options.device = g_device;
    options.reduction_order = ReductionOrder::kTree;
    options.share_gpus = shares_gpus();
    g_comm = create_communicator(options);
  }
  void TearDown() override {
    if (g_comm) g_comm->shutdown();
    g_comm.reset();  // before the driver goes
  }
};

const auto* const g_environment = ::testing::AddGlobalTestEnvironment(new Communicators);

TEST(CudaCommunicatorTest, TakesNcclWhereEachRankHasAGpu) {
  const bool nccl = g_comm->world_size() <= c10::cuda::device_count() || shares_gpus();
  EXPECT_EQ(g_comm->backend(), nccl ? "nccl" : "mpi");
}

TEST(CudaCommunicatorTest, EveryCollectiveIsExact) {
  testing::check_all_collectives(*g_comm, g_device);
}

TEST(CudaCommunicatorTest, CpuTensorsGoThroughTheHost) {
  testing::check_all_collectives(*g_comm, at::kCPU);
}

// The sum must see what the current stream had queued before it, and what is queued after wait() must see the
// sum.
TEST(CudaCommunicatorTest, IsOrderedWithTheCurrentStream) {
  const int world_size = g_comm->world_size();
  for (int round = 1; round <= 20; ++round) {
    const at::Tensor values = at::zeros({1 << 20}, at::TensorOptions(g_device).dtype(at::kFloat));
    for (int i = 0; i < 50; ++i) values.add_(1);  // still running when the collective is called
    const WorkPtr work = g_comm->all_reduce(values);
    work->wait();
    const at::Tensor doubled = values * 2;
    EXPECT_TRUE(at::equal(doubled.cpu(), at::full({1 << 20}, 100.0F * static_cast<float>(world_size))));
  }
}

// Random values: the sum's last bits depend on the order, and the CPU's tree says which they have to be.
at::Tensor values_of(int rank, std::int64_t count, at::ScalarType dtype) {
  at::manual_seed(static_cast<std::uint64_t>(100 + rank));
  return at::randn({count}).to(dtype);
}

at::Tensor cpu_tree(int rows, std::int64_t count, at::ScalarType dtype) {
  std::vector<at::Tensor> all;
  for (int row = 0; row < rows; ++row) all.push_back(values_of(row, count, dtype));
  at::Tensor sum = at::empty({count}, at::TensorOptions().dtype(dtype));
  sum_rows(sum, at::stack(all), ReductionOrder::kTree);
  return sum;
}

TEST(CudaCommunicatorTest, TreeHasTheCpusBits) {
  ASSERT_EQ(g_comm->reduction_order(), ReductionOrder::kTree);
  for (const at::ScalarType dtype : {at::kFloat, at::kHalf, at::kBFloat16}) {
    for (const std::int64_t count : {1, 1001, 1 << 20}) {
      const at::Tensor sum = values_of(g_comm->rank(), count, dtype).to(g_device);
      g_comm->all_reduce(sum)->wait();
      EXPECT_TRUE(at::equal(sum.cpu(), cpu_tree(g_comm->world_size(), count, dtype))) << count;
    }
  }
}

TEST(CudaCommunicatorTest, RowsOfLogicalRanksHaveTheCpusBits) {
  for (const int rows : {1, 2, 3, 4}) {
    constexpr std::int64_t kCount = 1001;
    std::vector<at::Tensor> own;
    for (int row = 0; row < rows; ++row)
      own.push_back(values_of(g_comm->rank() * rows + row, kCount, at::kFloat));
    const at::Tensor sums = at::stack(own).to(g_device);
    g_comm->all_reduce_rows(sums[rows - 1], sums, ReductionOrder::kTree)->wait();
    EXPECT_TRUE(at::equal(sums[rows - 1].cpu(), cpu_tree(g_comm->world_size() * rows, kCount, at::kFloat)))
        << rows;
  }
}

// Buffers are given back and taken again, as when buckets are rebuilt.
TEST(CudaCommunicatorTest, ReducesInItsOwnMemory) {
  for (int round = 0; round < 3; ++round) {
    const at::Tensor first = g_comm->allocate({1 << 20}, at::TensorOptions(g_device).dtype(at::kFloat));
    const at::Tensor second = g_comm->allocate({7}, at::TensorOptions(g_device).dtype(at::kBFloat16));
    first.fill_(static_cast<double>(g_comm->rank() + round));
    second.fill_(1);
    const WorkPtr works[] = {g_comm->all_reduce(first), g_comm->all_reduce(second)};
    for (const WorkPtr& work : works) work->wait();
    const int world_size = g_comm->world_size();
    const double expected = world_size * (world_size - 1) / 2 + round * world_size;
    EXPECT_EQ(first.min().item<float>(), expected);
    EXPECT_EQ(first.max().item<float>(), expected);
    EXPECT_EQ(second.sum().item<float>(), 7.0F * static_cast<float>(world_size));
  }
}

// All ranks once more, in a communicator beside the first, and then the odd and the even ones.
TEST(CudaSplitCommunicatorTest, GroupsHaveTheBackendOfTheWorld) {
  CommunicatorOptions options;
  options.timeout = std::chrono::seconds(60);
  options.device = g_device;
  options.reduction_order = ReductionOrder::kTree;
  options.share_gpus = shares_gpus();
  for (const int groups : {1, 2}) {
    const CommunicatorPtr group = split_communicator(*g_comm, g_comm->rank() % groups, options);
    EXPECT_EQ(group->backend(), g_comm->backend() == "nccl" ? "nccl" : "tcp");
    testing::check_all_collectives(*group, g_device);
    testing::check_all_collectives(*group, at::kCPU);
    group->shutdown();
  }
  testing::check_all_collectives(*g_comm, g_device);
}

TEST(CudaReducerTest, AveragesGradients) {
  const at::Tensor parameter =
      at::ones({1000}, at::TensorOptions(g_device).dtype(at::kFloat)).requires_grad_();
  Reducer reducer({{"p", parameter}}, g_comm);
  for (int step = 0; step < 3; ++step) {
    parameter.mutable_grad().reset();
    reducer.prepare_for_forward(true);
    (parameter * static_cast<double>(g_comm->rank() + 1)).sum().backward();
    const float mean = static_cast<float>(g_comm->world_size() + 1) / 2.0F;
    EXPECT_TRUE(at::equal(parameter.grad().cpu(), at::full({1000}, mean)));
  }
}

}  // namespace
}  // namespace lockstep

// On a GPU: what `auto` chooses there. One rank has NCCL; ranks that share a GPU stage through the host.
#include <ATen/ATen.h>
#include <c10/cuda/CUDAFunctions.h>
#include <gtest/gtest.h>

#include "comm/backend.h"
#include "comm/reducer.h"
#include "tests/comm/collective_cases.h"

namespace lockstep {
namespace {

CommunicatorPtr g_comm;
at::Device g_device = at::kCPU;

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
    g_comm = create_communicator(options);
  }
  void TearDown() override {
    if (g_comm) g_comm->shutdown();
  }
};

const auto* const g_environment = ::testing::AddGlobalTestEnvironment(new Communicators);

TEST(CudaCommunicatorTest, TakesNcclWhereEachRankHasAGpu) {
  EXPECT_EQ(g_comm->backend(), g_comm->world_size() <= c10::cuda::device_count() ? "nccl" : "mpi");
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

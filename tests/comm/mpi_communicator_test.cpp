// Real processes under mpiexec: the MPI backend, and beside it LibTorch's Gloo as the judge of PyTorch's
// bits.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "comm/backend.h"
#include "comm/errors.h"
#include "comm/shared_memory_communicator.h"
#include "tests/comm/collective_cases.h"

namespace lockstep {
namespace {

CommunicatorPtr g_mpi;
CommunicatorPtr g_gloo;
CommunicatorPtr g_shm;
CommunicatorPtr g_shm_tree;

// MPI can be initialised once in a process, so all tests share the communicators.
class Communicators : public ::testing::Environment {
 public:
  void SetUp() override {
    CommunicatorOptions options;
    options.timeout = std::chrono::seconds(60);
    options.backend = "mpi";
    g_mpi = create_communicator(options);
    ASSERT_EQ(g_mpi->backend(), "mpi");
    // A port for Gloo's rendezvous that only this job uses.
    at::Tensor port = at::zeros({1}, at::kInt);
    if (g_mpi->rank() == 0) port.fill_(20000 + static_cast<int>(getpid() % 12000));
    g_mpi->broadcast(port, 0)->wait();
    options.backend = "gloo";
    options.master_addr = "127.0.0.1";
    options.master_port = port.item<int>();
    g_gloo = create_communicator(options);
    g_shm = SharedMemoryCommunicator::create(g_mpi, ReductionOrder::kPytorch, options.timeout).communicator;
    g_shm_tree = SharedMemoryCommunicator::create(g_mpi, ReductionOrder::kTree, options.timeout).communicator;
    ASSERT_TRUE(g_shm && g_shm_tree);
  }
  void TearDown() override {
    if (g_gloo) g_gloo->shutdown();
    if (g_mpi) g_mpi->shutdown();
  }
};

const auto* const g_environment = ::testing::AddGlobalTestEnvironment(new Communicators);

TEST(MpiCommunicatorTest, EveryCollectiveIsExact) {
  testing::check_all_collectives(*g_mpi);
}

TEST(GlooCommunicatorTest, EveryCollectiveIsExact) {
  EXPECT_EQ(g_gloo->backend(), "gloo");
  testing::check_all_collectives(*g_gloo);
}

TEST(SharedMemoryCommunicatorTest, EveryCollectiveIsExact) {
  testing::check_all_collectives(*g_shm);
}

// Odd ranks and even ones, and a group of a group; whatever carries the world.
TEST(SplitCommunicatorTest, RanksOfAMachineShareMemory) {
  CommunicatorOptions options;
  options.timeout = std::chrono::seconds(60);
  for (const CommunicatorPtr& world : {g_mpi, g_shm, g_gloo}) {
    const int rank = world->rank();
    const CommunicatorPtr group = split_communicator(*world, rank % 2, options);
    EXPECT_EQ(group->backend(), "shm");
    EXPECT_EQ(group->rank(), rank / 2);
    EXPECT_EQ(group->world_size(), (world->world_size() + 1 - rank % 2) / 2);
    testing::check_all_collectives(*group);
    const CommunicatorPtr alone = split_communicator(*group, group->rank(), options);
    EXPECT_EQ(alone->world_size(), 1);
    EXPECT_EQ(alone->named_rank(0), rank);
    alone->shutdown();
    group->shutdown();
  }
}

TEST(MpiCommunicatorTest, SumsHaveGloosBits) {
  at::manual_seed(100 + static_cast<std::uint64_t>(g_mpi->rank()));
  for (const at::ScalarType dtype : {at::kFloat, at::kDouble, at::kHalf}) {
    for (const std::int64_t count : {1, 2, 3, 5, 6, 63, 1000, 1023, 65537, 262144, 262145, 786433, 3000001}) {
      const at::Tensor ours = at::randn({count}).to(dtype);
      const at::Tensor theirs = ours.clone();
      const at::Tensor shared = ours.clone();
      g_mpi->all_reduce(ours)->wait();
      g_gloo->all_reduce(theirs)->wait();
      g_shm->all_reduce(shared)->wait();
      EXPECT_TRUE(at::equal(shared, theirs)) << "shared memory, " << count << " " << c10::toString(dtype);
      EXPECT_TRUE(at::equal(ours, theirs))
          << count << " " << c10::toString(dtype) << ": " << at::ne(ours, theirs).sum().item<std::int64_t>()
          << " elements differ";
    }
  }
}

TEST(MpiCommunicatorTest, ManyCollectivesMayBeUnderWayAtOnce) {
  std::vector<at::Tensor> tensors;
  std::vector<WorkPtr> works;
  for (int i = 0; i < 50; ++i) {
    tensors.push_back(at::full({1 + 1000 * i}, i + g_mpi->rank(), at::kFloat));
    works.push_back(g_mpi->all_reduce(tensors.back()));
  }
  const int world_size = g_mpi->world_size();
  for (int i = 0; i < 50; ++i) {
    works[static_cast<std::size_t>(i)]->wait();
    const float expected = static_cast<float>(world_size * i + world_size * (world_size - 1) / 2);
    EXPECT_TRUE(
        at::equal(tensors[static_cast<std::size_t>(i)], at::full({1 + 1000 * i}, expected, at::kFloat)));
  }
}

}  // namespace
}  // namespace lockstep

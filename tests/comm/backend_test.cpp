#include "comm/backend.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lockstep {
namespace {

using ::testing::HasSubstr;

CommunicatorOptions options_for(LaunchedBy launched_by, int world_size, at::Device device = at::kCPU) {
  CommunicatorOptions options;
  options.placement = {.rank = 0,
                       .world_size = world_size,
                       .local_rank = 0,
                       .local_world_size = world_size,
                       .launched_by = launched_by};
  options.device = device;
  return options;
}

TEST(ChooseBackendTest, AutoFollowsTheLauncherAndTheGpus) {
  const at::Device gpu(at::kCUDA, 0);
  EXPECT_EQ(choose_backend(options_for(LaunchedBy::kOpenMpi, 2), 0).name, "shm");
  EXPECT_EQ(choose_backend(options_for(LaunchedBy::kTorchrun, 2), 0).name, "shm");
  const auto on_machines_of_one = [](LaunchedBy launched_by) {
    CommunicatorOptions options = options_for(launched_by, 2);
    options.placement.local_world_size = 1;
    return options;
  };
  EXPECT_EQ(choose_backend(on_machines_of_one(LaunchedBy::kOpenMpi), 0).name, "tcp");
  EXPECT_EQ(choose_backend(on_machines_of_one(LaunchedBy::kTorchrun), 0).name, "gloo");
  EXPECT_EQ(choose_backend(on_machines_of_one(LaunchedBy::kSlurm), 0).name, "gloo");
  EXPECT_EQ(choose_backend(options_for(LaunchedBy::kNothing, 1), 0).name, "threads");
  EXPECT_EQ(choose_backend(options_for(LaunchedBy::kOpenMpi, 2, gpu), 2).name, "nccl");
  EXPECT_EQ(choose_backend(options_for(LaunchedBy::kTorchrun, 8, gpu), 8).name, "nccl");
  const BackendChoice shared = choose_backend(options_for(LaunchedBy::kOpenMpi, 2, gpu), 1);
  EXPECT_EQ(shared.name, "mpi");
  EXPECT_THAT(shared.reason, HasSubstr("2 ranks share 1 GPU"));
}

std::string refusal(const std::string& backend, CommunicatorOptions options, int gpu_count) {
  options.backend = backend;
  try {
    return "chose " + choose_backend(options, gpu_count).name;
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
}

TEST(ChooseBackendTest, SaysWhyABackendCannotBeHad) {
  const at::Device gpu(at::kCUDA, 0);
  EXPECT_THAT(refusal("ncl", options_for(LaunchedBy::kOpenMpi, 2), 0),
              HasSubstr("unknown; known are auto, nccl, shm, tcp, mpi, gloo"));
  EXPECT_THAT(refusal("nccl", options_for(LaunchedBy::kOpenMpi, 2), 2), HasSubstr("--device cuda"));
  EXPECT_THAT(refusal("nccl", options_for(LaunchedBy::kOpenMpi, 4, gpu), 2), HasSubstr("it has 2"));
  EXPECT_THAT(refusal("mpi", options_for(LaunchedBy::kTorchrun, 2), 0), HasSubstr("not started by mpirun"));
  EXPECT_THAT(refusal("threads", options_for(LaunchedBy::kOpenMpi, 2), 0), HasSubstr("cannot span"));
  EXPECT_THAT(refusal("shm", options_for(LaunchedBy::kOpenMpi, 2, gpu), 1), HasSubstr("GPU tensors"));
  CommunicatorOptions far = options_for(LaunchedBy::kTorchrun, 4);
  far.placement.local_world_size = 2;
  EXPECT_THAT(refusal("shm", far, 0), HasSubstr("several machines"));
  far.reduction_order = ReductionOrder::kTree;
  EXPECT_THAT(refusal("auto", far, 0), HasSubstr("--backend gloo: Gloo adds in its own order"));
  EXPECT_EQ(refusal("tcp", far, 0), "chose tcp");
  EXPECT_EQ(refusal("gloo", options_for(LaunchedBy::kOpenMpi, 2), 0), "chose gloo");
}

TEST(ChooseBackendTest, SharingGpusTakesAnNcclThatCan) {
  CommunicatorOptions options = options_for(LaunchedBy::kOpenMpi, 2, at::Device(at::kCUDA, 0));
  options.nccl_version = 22809;
  EXPECT_THAT(refusal("nccl", options, 1), HasSubstr("--share-gpus with NCCL 2.30.3 or newer"));
  options.share_gpus = true;
  for (const char* backend : {"nccl", "auto"}) {
    const std::string why = refusal(backend, options, 1);
    EXPECT_THAT(why, HasSubstr("2 ranks on 1 GPU(s) need NCCL 2.30.3 or newer, and 2.28.9 is loaded"));
    EXPECT_THAT(why, HasSubstr("--backend mpi"));
  }
  options.nccl_version = 23003;
  EXPECT_EQ(refusal("nccl", options, 1), "chose nccl");
  EXPECT_EQ(refusal("auto", options, 1), "chose nccl");
  options.share_gpus = false;
  EXPECT_EQ(refusal("auto", options, 1), "chose mpi");
}

TEST(CreateCommunicatorTest, GlooNeedsARendezvous) {
  CommunicatorOptions options = options_for(LaunchedBy::kTorchrun, 2);
  options.backend = "gloo";
  unsetenv("MASTER_ADDR");
  unsetenv("MASTER_PORT");
  EXPECT_THROW(create_communicator(options), std::invalid_argument);
  options.master_addr = "127.0.0.1";
  options.master_port = 70000;
  EXPECT_THROW(create_communicator(options), std::invalid_argument);
}

TEST(ReductionOrderTest, NamesGoBothWays) {
  for (const char* name : {"pytorch", "tree", "fast"})
    EXPECT_EQ(to_string(parse_reduction_order(name)), name);
  EXPECT_THROW(parse_reduction_order("auto"), std::invalid_argument);
}

TEST(CreateCommunicatorTest, OneRankNeedsNobody) {
  const CommunicatorPtr comm = create_communicator(options_for(LaunchedBy::kNothing, 1));
  EXPECT_EQ(comm->world_size(), 1);
  comm->barrier();
  comm->shutdown();
}

}  // namespace
}  // namespace lockstep

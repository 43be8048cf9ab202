// join() and the measured bucket caps among real processes under mpiexec.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "comm/backend.h"
#include "comm/distributed_data_parallel.h"

namespace lockstep {
namespace {

// The gradient is the input.
struct Scale : torch::nn::Module {
  Scale() { weight = register_parameter("weight", at::zeros({200'000})); }
  at::Tensor forward(double input) { return (weight * input).sum(); }
  at::Tensor weight;
};

void train_step(DistributedDataParallel<Scale>& ddp, double input) {
  ddp.module().zero_grad();
  ddp.forward(input).backward();
  const at::NoGradGuard no_grad;
  ddp.module().weight.sub_(ddp.module().weight.grad());
}

TEST(MpiJoin, RanksWithoutInputsFollow) {
  CommunicatorOptions options;
  options.timeout = std::chrono::seconds(60);
  options.backend = "mpi";
  const CommunicatorPtr comm = create_communicator(options);
  const int world_size = comm->world_size();
  {
    DistributedDataParallel<Scale> ddp(std::make_shared<Scale>(), comm);
    ddp.join([&] {
      for (int step = 0; step <= comm->rank(); ++step) train_step(ddp, world_size);
    });
    // Step s has W - s ranks with a gradient of W, divided by W: W + (W - 1) + ... + 1.
    const double sum = world_size * (world_size + 1) / 2;
    EXPECT_TRUE(at::equal(ddp.module().weight, at::full({200'000}, -sum)));
  }
  {
    DdpOptions chosen;
    chosen.reducer.choose_bucket_caps = true;
    DistributedDataParallel<Scale> ddp(std::make_shared<Scale>(), comm, chosen);
    for (int step = 0; step < 5; ++step) train_step(ddp, 1.0);
    EXPECT_TRUE(at::equal(ddp.module().weight, at::full({200'000}, -5.0)));
    const auto remark = ddp.reducer().take_remark();
    EXPECT_THAT(remark.value_or("nothing"), ::testing::HasSubstr("bucket caps"));
    EXPECT_TRUE(ddp.reducer().history().rebuilt);
  }
  comm->shutdown();
}

}  // namespace
}  // namespace lockstep

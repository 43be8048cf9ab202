// On a GPU: what its own clock says of a backward pass with NCCL's sums beneath.
#include <ATen/ATen.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAStream.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "comm/distributed_data_parallel.h"
#include "comm/nccl_communicator.h"
#include "comm/thread_communicator.h"
#include "tests/temporary_folder.h"
#include "trainer/trace/step_tracer.h"

namespace lockstep {
namespace {

using Json = nlohmann::json;

constexpr int kLayers = 8;
constexpr std::int64_t kWidth = 2048;
constexpr std::int64_t kTracedStep = 4;
const at::Device kDevice(at::kCUDA, 0);

CommunicatorPtr one_gpu() {
  const auto timeout = std::chrono::seconds(60);
  return create_nccl_communicator(
      make_thread_communicators(1, timeout).front(),
      {.device = kDevice, .timeout = timeout, .warn = [](const std::string& line) {
         std::fprintf(stderr, "%s\n", line.c_str());
       }});
}

// Of one step, in which each layer's gradient is a bucket.
Json traced_step() {
  const CommunicatorPtr nccl = one_gpu();
  const TemporaryFolder folder;
  {
    torch::nn::Sequential model;
    for (int layer = 0; layer < kLayers; ++layer)
      model->push_back(torch::nn::Linear(torch::nn::LinearOptions(kWidth, kWidth).bias(false)));
    model->to(kDevice);
    DdpOptions options;
    options.reducer.first_bucket_cap_bytes = options.reducer.bucket_cap_bytes = 1 << 20;
    DistributedDataParallel<torch::nn::SequentialImpl> ddp(model.ptr(), nccl, options);
    StepTimer timer;
    StepTracer tracer({.first_step = kTracedStep,
                       .steps = 1,
                       .file = folder.path() / "trace.json",
                       .say = [](const std::string&) {},
                       .warn = [](const std::string& line) { ADD_FAILURE() << line; },
                       .device_moments = cuda_moments(kDevice)},
                      nccl, timer);
    const at::Tensor batch = at::randn({kWidth, kWidth}, at::TensorOptions(kDevice));
    for (std::int64_t step = 1; step <= kTracedStep; ++step) {
      tracer.begin_step(step);
      ddp.reducer().set_trace(tracer.recorder());
      timer.begin_step();
      timer.begin(StepPart::kForward);
      const at::Tensor loss = ddp.forward(batch).square().mean();
      timer.begin(StepPart::kBackward);
      loss.backward();
      timer.end_step();
      tracer.end_step();
      model->zero_grad();
    }
    c10::cuda::getCurrentCUDAStream(kDevice.index()).synchronize();
  }
  nccl->shutdown();
  std::ifstream file(folder.path() / "trace.json");
  return Json::parse(file);
}

TEST(CudaStepTracer, SumsBeginWhileTheBackwardPassComputes) {
  ASSERT_GT(c10::cuda::device_count(), 0) << "a test labelled gpu was started without one";
  const Json trace = traced_step();
  SCOPED_TRACE(trace.dump(1));
  ASSERT_TRUE(trace["otherData"].contains("device_clocks"));
  std::map<std::string, Json> on_device, on_host;
  for (const Json& event : trace["traceEvents"]) {
    if (event["ph"] != "X") continue;
    const bool device = event["cat"] == "device" || event["cat"] == "collective";
    (device ? on_device : on_host)[event["name"]] = event;
  }
  const auto begin = [](const Json& event) { return event["ts"].get<double>(); };
  const auto end = [&](const Json& event) { return begin(event) + event["dur"].get<double>(); };
  const double resolution_us = 1.0;  // twice that of CUDA's events
  const Json& backward = on_device.at("backward");
  const double computed = begin(on_device.at("wait for all_reduce of bucket 0"));
  EXPECT_GT(end(on_device.at("forward")) - begin(on_device.at("forward")), 0.0);
  EXPECT_LT(begin(backward), computed);
  for (int bucket = 0; bucket < kLayers; ++bucket) {
    std::string name = "all_reduce of bucket ";
    name += std::to_string(bucket);
    const Json& sum = on_device.at(name);
    EXPECT_EQ(sum["args"]["bytes"], kWidth * kWidth * 4);
    EXPECT_GE(begin(sum), begin(backward) - resolution_us);
    EXPECT_LE(end(sum), end(backward) + resolution_us);
  }
  // A layer's gradients are two products; those of seven layers come after the first bucket.
  const double first = begin(on_device.at("all_reduce of bucket 0"));
  EXPECT_LT(first, begin(backward) + (computed - begin(backward)) / 2);
  EXPECT_LT(first, begin(on_device.at("all_reduce of bucket 4")));
  // The host was done with queueing while the device still computed.
  EXPECT_LT(begin(on_host.at("wait for bucket 0")), computed);
}

}  // namespace
}  // namespace lockstep

// Whole runs on one GPU, captured and not: the same bits.
#include <gmock/gmock.h>

#include "comm/nccl_communicator.h"
#include "tests/comm/rank_threads.h"
#include "tests/trainer/graph/training_cases.h"

namespace lockstep {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::Result;

const at::Device kDevice(at::kCUDA, 0);

CommunicatorPtr communicator(std::chrono::milliseconds timeout = std::chrono::seconds(60)) {
  NcclOptions options;
  options.device = kDevice;
  options.timeout = timeout;
  options.warn = [](const std::string& line) { std::fprintf(stderr, "%s\n", line.c_str()); };
  return create_nccl_communicator(make_thread_communicators(1, timeout).front(), std::move(options));
}

class CudaCapturedTraining : public ::testing::TestWithParam<testing::TrainingCase> {
 protected:
  static void SetUpTestSuite() { prepare_process_for_capture(kDevice); }

  static Result train(bool captured, std::int64_t log_every_n_steps) {
    TrainConfig config = GetParam().config;
    config.device = "cuda";
    config.backend = "nccl";
    config.cuda_graph = "auto";
    config.fused_optimizer = "auto";
    config.log_every_n_steps = log_every_n_steps;
    const TemporaryFolder folder;
    const CommunicatorPtr nccl = communicator();
    Result result = testing::train({.config = config,
                                    .communicator = nccl,
                                    .device = kDevice,
                                    .recording = captured ? create_cuda_recording(kDevice) : nullptr},
                                   folder.path());
    nccl->shutdown();
    return result;
  }
};

// Where every step is read, and where the host runs ahead.
TEST_P(CudaCapturedTraining, HasTheBitsOfEagerSteps) {
  for (const std::int64_t log_every_n_steps : {1, 1000}) {
    const Result eager = train(false, log_every_n_steps);
    const Result captured = train(true, log_every_n_steps);
    EXPECT_THAT(captured.events, Contains("captured"));
    EXPECT_THAT(captured.events, Not(Contains("not_captured")));
    testing::expect_same_bits(eager, captured);
  }
}

INSTANTIATE_TEST_SUITE_P(Runs, CudaCapturedTraining, ::testing::ValuesIn(testing::training_cases()),
                         [](const auto& info) { return info.param.name; });

// What stops a capture in its middle leaves streams, memory and random numbers as they were.
TEST(CudaStepRecording, AfterARefusedCaptureEverythingGoesOn) {
  prepare_process_for_capture(kDevice);
  const at::TensorOptions options = at::TensorOptions(kDevice).dtype(at::kFloat);
  at::manual_seed(3);
  const at::Tensor expected = at::rand({64}, options).cpu();
  at::manual_seed(3);
  at::Tensor drawn;
  const auto refused = [&] {
    drawn = at::rand({64}, options);
    static_cast<void>(drawn.sum().item<float>());  // waits for the device
  };
  EXPECT_THROW(create_cuda_recording(kDevice)->capture(refused), std::exception);
  drawn.reset();
  EXPECT_TRUE(at::equal(at::rand({64}, options).cpu(), expected)) << "nothing was drawn";

  const auto recording = create_cuda_recording(kDevice);
  const at::Tensor sum = at::zeros({64}, options);
  recording->capture([&] { sum.add_(at::rand({64}, options)); });
  EXPECT_EQ(sum.abs().sum().item<float>(), 0.0F) << "recorded, not done";
  at::Tensor eager = at::zeros({64}, options);
  at::manual_seed(5);
  for (int i = 0; i < 4; ++i) eager.add_(at::rand({64}, options));
  at::manual_seed(5);
  for (int i = 0; i < 4; ++i) recording->replay();
  EXPECT_TRUE(at::equal(sum.cpu(), eager.cpu())) << "each replay draws anew, as eager steps do";
}

}  // namespace
}  // namespace lockstep

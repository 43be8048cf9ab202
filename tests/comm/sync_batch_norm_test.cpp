// The ranks' batches are pieces of one batch, so one torch::nn::BatchNorm over the whole says what must come
// out of each piece.
#include "comm/sync_batch_norm.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>

#include <limits>

#include "comm/errors.h"
#include "tests/comm/rank_threads.h"

namespace lockstep {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

using Options = torch::nn::BatchNormOptions;

constexpr std::int64_t kChannels = 3;

CommunicatorPtr borrow(Communicator& comm) {
  return {&comm, [](Communicator*) {}};
}

// Reproducible and of no symmetry; channels have means of 0, 5 and 10, so that centring matters.
at::Tensor numbers(at::IntArrayRef sizes, double frequency, at::ScalarType dtype) {
  at::Tensor values = at::empty(sizes, at::kDouble);
  values.copy_(at::arange(values.numel(), at::kDouble).mul(frequency).sin().view(sizes));
  std::vector<std::int64_t> shape(sizes.size(), 1);
  shape[1] = sizes[1];
  return (values + 5.0 * at::arange(sizes[1], at::kDouble).view(shape)).to(dtype);
}

// What a training step of either module leaves behind.
struct Outcome {
  at::Tensor output;
  at::Tensor input_gradient;
  std::vector<at::Tensor> parameter_gradients;
};

template <typename Norm>
Outcome step(Norm& norm, const at::Tensor& input, const at::Tensor& output_gradient) {
  const at::Tensor leaf = input.detach().clone().requires_grad_();
  norm->zero_grad();
  Outcome outcome;
  const at::Tensor output = norm->forward(leaf);
  output.backward(output_gradient);
  outcome.output = output.detach();
  outcome.input_gradient = leaf.grad();
  for (const at::Tensor& parameter : norm->parameters())
    outcome.parameter_gradients.push_back(parameter.grad());
  return outcome;
}

template <typename Norm>
void set_parameters(Norm& norm) {
  const at::NoGradGuard no_grad;
  if (!norm->options.affine()) return;
  norm->weight.copy_(at::arange(1, kChannels + 1, at::kFloat) * 0.5);
  norm->bias.copy_(at::arange(kChannels, at::kFloat) - 1.0);
}

void expect_close(const at::Tensor& actual, const at::Tensor& expected, double tolerance, const char* what) {
  ASSERT_EQ(actual.sizes(), expected.sizes()) << what;
  if (expected.numel() == 0) return;
  EXPECT_LE((actual - expected).abs().max().item<double>(), tolerance) << what;
}

struct Case {
  const char* name;
  std::vector<std::int64_t> batches;  // one per rank
  std::vector<std::int64_t> rest;     // the dimensions after the channels
  at::ScalarType dtype = at::kFloat;
  bool affine = true;
  bool track_running_stats = true;
  std::optional<double> momentum = 0.1;
};

class SyncBatchNormTest : public ::testing::TestWithParam<Case> {};

// Values are of the order of 10 and their sums have some hundred terms. In float32 (spacing 1e-6 at 10) both
// sides round differently by a few spacings, amplified by 1 / deviation = 1.4; in float64 that is 1e-14.
double tolerance(at::ScalarType dtype) {
  return dtype == at::kDouble ? 1e-12 : 5e-5;
}

template <typename Reference>
void compare_with(const Case& test) {
  const auto world_size = static_cast<int>(test.batches.size());
  const auto options = Options(kChannels)
                           .affine(test.affine)
                           .track_running_stats(test.track_running_stats)
                           .momentum(test.momentum);
  const std::int64_t total = std::accumulate(test.batches.begin(), test.batches.end(), std::int64_t{0});
  std::vector<std::int64_t> sizes = {total, kChannels};
  sizes.insert(sizes.end(), test.rest.begin(), test.rest.end());
  testing::run_ranks(world_size, [&](Communicator& comm) {
    Reference whole(options);
    SyncBatchNorm norm(options, borrow(comm));
    for (auto* module :
         {static_cast<torch::nn::Module*>(whole.get()), static_cast<torch::nn::Module*>(norm.get())})
      module->to(test.dtype);
    set_parameters(whole);
    set_parameters(norm);
    std::int64_t begin = 0;
    for (int rank = 0; rank < comm.rank(); ++rank) begin += test.batches[static_cast<std::size_t>(rank)];
    const std::int64_t mine = test.batches[static_cast<std::size_t>(comm.rank())];
    for (int round = 0; round < 3; ++round) {
      const at::Tensor input = numbers(sizes, 0.7 + 0.1 * round, test.dtype);
      const at::Tensor gradient = numbers(sizes, 1.3 + 0.1 * round, test.dtype) - 5.0;
      const Outcome expected = step(whole, input, gradient);
      const Outcome actual = step(norm, input.narrow(0, begin, mine), gradient.narrow(0, begin, mine));
      const double close = tolerance(test.dtype);
      expect_close(actual.output, expected.output.narrow(0, begin, mine), close, "output");
      expect_close(actual.input_gradient, expected.input_gradient.narrow(0, begin, mine), close,
                   "input gradient");
      for (std::size_t i = 0; i < expected.parameter_gradients.size(); ++i) {
        at::Tensor sum = actual.parameter_gradients[i].clone();
        comm.all_reduce(sum)->wait();
        // Sums of up to 200 products of the order of 10.
        expect_close(sum, expected.parameter_gradients[i], 100 * close, "parameter gradient");
      }
      if (!test.track_running_stats) continue;
      expect_close(norm->running_mean, whole->running_mean, close, "running mean");
      expect_close(norm->running_var, whole->running_var, close, "running variance");
      EXPECT_EQ(norm->num_batches_tracked.template item<std::int64_t>(), round + 1);
    }
  });
}

TEST_P(SyncBatchNormTest, IsOneBatchNormOverAllRanksBatches) {
  switch (GetParam().rest.size()) {
    case 2:
      return compare_with<torch::nn::BatchNorm2d>(GetParam());
    case 3:
      return compare_with<torch::nn::BatchNorm3d>(GetParam());
    default:
      return compare_with<torch::nn::BatchNorm1d>(GetParam());
  }
}

INSTANTIATE_TEST_SUITE_P(
    Cases, SyncBatchNormTest,
    ::testing::Values(Case{"FlatInput", {8, 8}, {}}, Case{"Sequences", {4, 4}, {5}},
                      Case{"Pictures", {4, 4}, {3, 5}},
                      Case{"PicturesInFloat64", {4, 4}, {3, 5}, at::kDouble},
                      Case{"Volumes", {2, 2}, {2, 3, 2}}, Case{"FourRanks", {2, 2, 2, 2}, {3, 3}},
                      Case{"UnequalBatches", {1, 5, 3}, {2, 2}},
                      Case{"UnequalBatchesInFloat64", {1, 5, 3}, {2, 2}, at::kDouble},
                      Case{"ARankWithNothing", {4, 0, 3}, {2, 2}}, Case{"OneValuePerRank", {1, 1}, {}},
                      Case{"WithoutParameters", {3, 4}, {2, 2}, at::kFloat, false},
                      Case{"WithoutRunningStatistics", {3, 4}, {2, 2}, at::kFloat, true, false},
                      Case{"CumulativeAverage", {3, 4}, {2, 2}, at::kFloat, true, true, std::nullopt}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(SyncBatchNormAloneTest, OneRankIsBatchNormToTheBit) {
  testing::run_ranks(1, [](Communicator& comm) {
    for (const bool has_communicator : {true, false}) {
      torch::nn::BatchNorm2d plain(kChannels);
      SyncBatchNorm norm(Options(kChannels), has_communicator ? borrow(comm) : nullptr);
      set_parameters(plain);
      set_parameters(norm);
      const at::Tensor input = numbers({4, kChannels, 3, 3}, 0.7, at::kFloat);
      const at::Tensor gradient = numbers({4, kChannels, 3, 3}, 1.3, at::kFloat);
      const Outcome expected = step(plain, input, gradient);
      const Outcome actual = step(norm, input, gradient);
      EXPECT_TRUE(at::equal(actual.output, expected.output));
      EXPECT_TRUE(at::equal(actual.input_gradient, expected.input_gradient));
      EXPECT_TRUE(at::equal(norm->running_mean, plain->running_mean));
      EXPECT_TRUE(at::equal(norm->running_var, plain->running_var));
    }
  });
}

TEST(SyncBatchNormTest, EvalModeIsBatchNormWithoutCommunication) {
  testing::run_ranks(2, [](Communicator& comm) {
    torch::nn::BatchNorm2d plain(kChannels);
    SyncBatchNorm norm(Options(kChannels), borrow(comm));
    plain->eval();
    norm->eval();
    const at::Tensor input = numbers({4, kChannels, 3, 3}, 0.7, at::kFloat);
    const auto sent = comm.bytes_sent();
    EXPECT_TRUE(at::equal(norm->forward(input), plain->forward(input)));
    EXPECT_EQ(comm.bytes_sent(), sent);
  });
}

TEST(SyncBatchNormTest, AllRanksHaveTheSameBitsOfRunningStatistics) {
  testing::run_ranks(3, [](Communicator& comm) {
    SyncBatchNorm norm(Options(kChannels), borrow(comm));
    for (int round = 0; round < 5; ++round)
      norm->forward(numbers({2 + comm.rank(), kChannels, 3}, 0.7 + comm.rank() + round, at::kFloat));
    for (const at::Tensor& mine : {norm->running_mean, norm->running_var}) {
      at::Tensor of_zero = mine.clone();
      comm.broadcast(of_zero, 0)->wait();
      EXPECT_TRUE(at::equal(mine, of_zero));
    }
    EXPECT_GT(norm->running_mean[2].item<float>(), 1.0F);  // they did move: the mean of that channel is 10
  });
}

// The definition of a derivative, over all ranks: the loss is sum(c y) over the global batch, and one element
// of one rank's input is moved. Central differences with h = 1e-5 in float64 are off by h^2 / 6 times
// the third derivative, of the order of 100, and by the rounding of a loss of the order of 100 over h: 1e-8
// and 1e-9.
TEST(SyncBatchNormTest, GradientsAreThoseOfFiniteDifferences) {
  testing::run_ranks(2, [](Communicator& comm) {
    SyncBatchNorm norm(Options(kChannels), borrow(comm));
    norm->to(at::kDouble);
    set_parameters(norm);
    const std::int64_t batch = 2 + comm.rank();
    const at::Tensor input = numbers({batch, kChannels, 2}, 0.7 + comm.rank(), at::kDouble);
    const at::Tensor coefficients = numbers({batch, kChannels, 2}, 1.9 + comm.rank(), at::kDouble) - 5.0;
    const Outcome analytic = step(norm, input, coefficients);
    const auto global_loss = [&](const at::Tensor& moved) {
      const at::NoGradGuard no_grad;
      const at::Tensor loss = (norm->forward(moved) * coefficients).sum().view({1});
      comm.all_reduce(loss)->wait();
      return loss.item<double>();
    };
    constexpr double kStep = 1e-5;
    for (int moving_rank = 0; moving_rank < 2; ++moving_rank) {
      for (std::int64_t element = 0; element < 2 * kChannels * 2; ++element) {
        double losses[2];
        for (const int direction : {0, 1}) {
          at::Tensor moved = input.clone();
          if (comm.rank() == moving_rank) moved.view({-1})[element] += direction == 0 ? -kStep : kStep;
          losses[direction] = global_loss(moved);
        }
        if (comm.rank() != moving_rank) continue;
        EXPECT_NEAR((losses[1] - losses[0]) / (2 * kStep),
                    analytic.input_gradient.view({-1})[element].item<double>(), 1e-7);
      }
    }
  });
}

// Statistics in float32 and results in the input's dtype, as BatchNorm does under autocast.
TEST(SyncBatchNormTest, HalfWidthInputsAreNormalizedInFloat32) {
  for (const at::ScalarType dtype : {at::kBFloat16, at::kHalf}) {
    testing::run_ranks(2, [&](Communicator& comm) {
      torch::nn::BatchNorm2d whole(kChannels);
      SyncBatchNorm norm(Options(kChannels), borrow(comm));
      set_parameters(whole);
      set_parameters(norm);
      const at::Tensor input = numbers({6, kChannels, 2, 2}, 0.7, dtype);
      const at::Tensor gradient = numbers({6, kChannels, 2, 2}, 1.3, dtype);
      const Outcome expected = step(whole, input.to(at::kFloat), gradient.to(at::kFloat));
      const Outcome actual =
          step(norm, input.narrow(0, 3 * comm.rank(), 3), gradient.narrow(0, 3 * comm.rank(), 3));
      EXPECT_EQ(actual.output.scalar_type(), dtype);
      EXPECT_EQ(actual.input_gradient.scalar_type(), dtype);
      // Results are of the order of 4, where bfloat16's spacing is 2^-6; rounded once.
      expect_close(actual.output.to(at::kFloat), expected.output.narrow(0, 3 * comm.rank(), 3), 0.02,
                   "output");
      expect_close(actual.input_gradient.to(at::kFloat),
                   expected.input_gradient.narrow(0, 3 * comm.rank(), 3), 0.02, "input gradient");
      expect_close(norm->running_var, whole->running_var, 5e-5, "running variance");
    });
  }
}

TEST(SyncBatchNormFaultTest, OneValuePerChannelOnAllRanksTogetherIsRefusedOnAll) {
  testing::run_ranks(2, [](Communicator& comm) {
    SyncBatchNorm norm(Options(kChannels), borrow(comm));
    try {
      norm->forward(numbers({1 - comm.rank(), kChannels}, 0.7, at::kFloat));
      ADD_FAILURE() << "a variance of one value was computed";
    } catch (const std::invalid_argument& error) {
      EXPECT_THAT(error.what(),
                  AllOf(HasSubstr("Expected more than 1 value per channel"), HasSubstr("got 1")));
    }
  });
}

TEST(SyncBatchNormFaultTest, WrongInputsAndSecondDerivativesAreRefused) {
  testing::run_ranks(2, [](Communicator& comm) {
    SyncBatchNorm norm(Options(kChannels), borrow(comm));
    EXPECT_THROW(norm->forward(at::ones({kChannels})), std::invalid_argument);
    EXPECT_THROW(norm->forward(at::ones({4, kChannels + 1})), std::invalid_argument);
    const at::Tensor input = numbers({4, kChannels}, 0.7, at::kFloat).requires_grad_();
    const at::Tensor loss = norm->forward(input).square().sum();
    EXPECT_THAT([&] { torch::autograd::grad({loss}, {input}, {}, std::nullopt, /*create_graph=*/true); },
                ::testing::ThrowsMessage<std::runtime_error>(HasSubstr("create_graph")));
  });
}

TEST(SyncBatchNormFaultTest, RanksWithOtherChannelsEndWithAnError) {
  EXPECT_THROW(testing::run_ranks(2,
                                  [](Communicator& comm) {
                                    const std::int64_t channels = kChannels + comm.rank();
                                    SyncBatchNorm norm(Options(channels), borrow(comm));
                                    norm->forward(at::ones({4, channels}));
                                  }),
               CommError);
}

struct Net : torch::nn::Module {
  Net() {
    first = register_module("first", SyncBatchNorm(kChannels));
    torch::nn::Sequential layers;
    layers->push_back(torch::nn::Linear(kChannels, kChannels));
    layers->push_back(SyncBatchNorm(kChannels));
    rest = register_module("rest", layers);
  }
  at::Tensor forward(const at::Tensor& x) { return rest->forward(first->forward(x)); }
  SyncBatchNorm first{nullptr};
  torch::nn::Sequential rest{nullptr};
};

struct NetWithFixedNorms : torch::nn::Module {
  NetWithFixedNorms() {
    good = register_module("good", SyncBatchNorm(kChannels));
    bad = register_module("bad", torch::nn::BatchNorm1d(kChannels));
    torch::nn::Sequential layers;
    layers->push_back(torch::nn::BatchNorm2d(kChannels));
    rest = register_module("rest", layers);
  }
  SyncBatchNorm good{nullptr};
  torch::nn::BatchNorm1d bad{nullptr};
  torch::nn::Sequential rest{nullptr};
};

TEST(ConvertSyncBatchNormTest, ModulesThatTheForwardPassUsesAreSynchronized) {
  testing::run_ranks(2, [](Communicator& comm) {
    Net net;
    const auto before = net.named_parameters();
    EXPECT_EQ(convert_sync_batch_norm(net, borrow(comm)), 2);
    const auto after = net.named_parameters();
    for (const auto& item : before) EXPECT_TRUE(item.value().is_same(after[item.key()]));
    // Rank r's values are r and r + 2: per rank the mean would be r + 1, over both it is 1.5.
    const auto output = net.first->forward(at::tensor({0.0F, 2.0F}).view({2, 1}).expand({2, kChannels}) +
                                           static_cast<double>(comm.rank()));
    EXPECT_NEAR(output.mean().item<double>() * (comm.rank() == 0 ? 1.0 : -1.0), -0.5 / std::sqrt(1.25), 1e-5);
    EXPECT_FLOAT_EQ(net.first->running_mean[0].item<float>(), 0.15F);
    net.forward(numbers({4, kChannels}, 0.7, at::kFloat)).sum().backward();
  });
}

TEST(ConvertSyncBatchNormTest, TheModuleItselfCounts) {
  testing::run_ranks(2, [](Communicator& comm) {
    SyncBatchNorm norm(kChannels);
    EXPECT_EQ(convert_sync_batch_norm(*norm, borrow(comm)), 1);
    EXPECT_TRUE(norm->is_synchronized());
    torch::nn::Linear none(2, 2);
    EXPECT_EQ(convert_sync_batch_norm(*none, borrow(comm)), 0);
  });
}

TEST(ConvertSyncBatchNormTest, NormsThatCannotBeConvertedAreNamedAndNothingIsChanged) {
  testing::run_ranks(2, [](Communicator& comm) {
    NetWithFixedNorms net;
    EXPECT_THAT([&] { convert_sync_batch_norm(net, borrow(comm)); },
                ::testing::ThrowsMessage<std::invalid_argument>(AllOf(
                    HasSubstr("bad, rest.0"), HasSubstr("lockstep::SyncBatchNorm"), Not(HasSubstr("good")))));
    EXPECT_FALSE(net.good->is_synchronized());
  });
}

}  // namespace
}  // namespace lockstep

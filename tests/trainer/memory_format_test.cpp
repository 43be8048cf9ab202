#include "trainer/memory_format.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <array>

#include "comm/distributed_data_parallel.h"
#include "tests/comm/rank_threads.h"
#include "tests/trainer/config/refusal.h"
#include "trainer/models/models.h"
#include "trainer/optim/optimizer.h"

namespace lockstep {
namespace {

constexpr auto kChannelsLast = at::MemoryFormat::ChannelsLast;

std::shared_ptr<Model> model_as(at::MemoryFormat format) {
  at::manual_seed(5);
  auto model = create_model("resnet18", {.sample_sizes = {3, 16, 16}, .num_classes = 4});
  lay_out_weights(*model, format);
  return model;
}

at::Tensor pictures(int rank) {
  return at::arange(4 * 3 * 16 * 16, at::kFloat).add(rank).mul(0.37).sin().view({4, 3, 16, 16});
}

// One rank's averaged gradients, and its parameters after an update.
struct Trained {
  std::vector<at::Tensor> gradients;
  std::vector<at::Tensor> parameters;
};

Trained train_two_ranks(at::MemoryFormat format, bool logical) {
  Trained trained;
  const auto models = std::array{model_as(format), model_as(format)};
  const at::Tensor classes = at::arange(4, at::kLong);
  testing::run_ranks(logical ? 1 : 2, [&](Communicator& comm) {
    DdpOptions options;
    options.reducer.logical_ranks = logical ? 2 : 0;
    DistributedDataParallel<Model> ddp(models[static_cast<std::size_t>(comm.rank())],
                                       {&comm, [](Communicator*) {}}, options);
    auto optimizer = create_optimizer("sgd", ddp.module().parameters(), {.lr = 0.01, .momentum = 0.9});
    for (int step = 0; step < 2; ++step) {
      optimizer->zero_grad();
      for (int rank = comm.rank(); rank < 2; rank += comm.world_size()) {
        const at::Tensor data = laid_out(pictures(rank + step), format);
        ddp.module().loss(ddp.forward(data), classes).backward();
      }
      optimizer->step();
    }
    if (comm.rank() != 0) return;
    for (const at::Tensor& parameter : ddp.module().parameters()) {
      if (parameter.grad().strides() != parameter.strides())
        throw std::logic_error("a gradient is not laid out like its parameter");
      trained.gradients.push_back(parameter.grad().clone());
      trained.parameters.push_back(parameter.detach().clone());
    }
  });
  return trained;
}

void expect_close(const std::vector<at::Tensor>& actual, const std::vector<at::Tensor>& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double largest = expected[i].abs().max().item<double>();
    EXPECT_LE((actual[i] - expected[i]).abs().max().item<double>(), 1e-3 * largest + 1e-5) << i;
  }
}

TEST(MemoryFormat, NamesAreThoseOfTheOption) {
  EXPECT_EQ(parse_memory_format("contiguous"), at::MemoryFormat::Contiguous);
  EXPECT_EQ(parse_memory_format("channels-last"), kChannelsLast);
  expect_refused([] { parse_memory_format("nhwc"); }, {"--memory-format nhwc", "channels-last"});
}

TEST(MemoryFormat, WeightsKeepTheirValues) {
  const auto plain = model_as(at::MemoryFormat::Contiguous)->parameters();
  const auto model = model_as(kChannelsLast);
  const auto converted = model->parameters();
  std::int64_t weights = 0;
  for (std::size_t i = 0; i < plain.size(); ++i) {
    EXPECT_TRUE(at::equal(plain[i], converted[i])) << i;
    EXPECT_TRUE(converted[i].requires_grad() && converted[i].is_leaf()) << i;
    if (plain[i].dim() != 4) continue;
    // By which LibTorch's convolutions go, also where the kernel is 1x1.
    EXPECT_EQ(converted[i].suggest_memory_format(), kChannelsLast) << i;
    ++weights;
  }
  EXPECT_EQ(weights, 20);
  EXPECT_EQ(lay_out_weights(*create_model("mlp", {.sample_sizes = {4}, .num_classes = 2}), kChannelsLast), 0);
}

TEST(MemoryFormat, OnlyPicturesAreLaidOut) {
  EXPECT_TRUE(laid_out(pictures(0), kChannelsLast).is_contiguous(kChannelsLast));
  EXPECT_TRUE(at::equal(laid_out(pictures(0), kChannelsLast), pictures(0)));
  EXPECT_TRUE(laid_out(at::zeros({2, 3, 4}), kChannelsLast).is_contiguous());
}

// Sums in another order, through 18 layers and two steps.
TEST(MemoryFormat, TrainsToTheSameNumbersButForRounding) {
  const Trained expected = train_two_ranks(at::MemoryFormat::Contiguous, false);
  const Trained actual = train_two_ranks(kChannelsLast, false);
  expect_close(actual.gradients, expected.gradients);
  expect_close(actual.parameters, expected.parameters);
}

// The order *pytorch* of two ranks' sum is one of two numbers each, so here it has the same bits.
TEST(MemoryFormat, LogicalRanksTrainAsRanksDo) {
  const Trained expected = train_two_ranks(kChannelsLast, false);
  const Trained actual = train_two_ranks(kChannelsLast, true);
  for (std::size_t i = 0; i < expected.parameters.size(); ++i)
    EXPECT_TRUE(at::equal(actual.parameters[i], expected.parameters[i])) << i;
}

}  // namespace
}  // namespace lockstep

#include "trainer/evaluation.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/comm/rank_threads.h"

namespace lockstep {
namespace {

// Sample i has data i and class i mod 3.
class Numbers final : public Dataset {
 public:
  explicit Numbers(std::int64_t size) : size_(size) {}
  std::int64_t size() const override { return size_; }
  DatasetShape shape() const override { return {{1}, 3}; }
  Batch get_batch(std::span<const std::int64_t> indices) const override {
    const at::Tensor numbers = at::empty({static_cast<std::int64_t>(indices.size())}, at::kLong);
    std::copy(indices.begin(), indices.end(), numbers.data_ptr<std::int64_t>());
    return {numbers.to(at::kFloat).view({-1, 1}), numbers.remainder(3)};
  }
  std::string description() const override { return "numbers"; }

 private:
  std::int64_t size_;
};

// Gives class 1 the logit 1 and the others 0, whatever the data.
class AlwaysOne final : public Model {
 public:
  at::Tensor forward(at::Tensor data) override {
    at::Tensor logits = at::zeros({data.size(0), 3});
    logits.select(1, 1).fill_(1.0);
    return logits;
  }
};

// Sample i is three tokens, of which one, two or all count, and one more answer.
class Sequences final : public Dataset {
 public:
  std::int64_t size() const override { return 5; }
  DatasetShape shape() const override { return {}; }
  Batch get_batch(std::span<const std::int64_t> indices) const override {
    const auto count = static_cast<std::int64_t>(indices.size());
    const at::Tensor target = at::full({count, 4}, -100, at::kLong);
    for (std::int64_t row = 0; row < count; ++row) {
      target[row].narrow(0, 0, indices[static_cast<std::size_t>(row)] % 3 + 1).fill_(1);
      target[row][3] = 0;
    }
    return {at::zeros({count, 3}, at::kLong), target};
  }
  std::string description() const override { return "sequences"; }
};

// Gives each token equal logits for four, and class 0 of two its second head's logit log 3.
class TwoHeads final : public Model {
 public:
  at::Tensor forward(at::Tensor data) override { return at::zeros({data.size(0), 3, 4}); }
  at::Tensor score(const at::Tensor& output, const at::Tensor& target) const override {
    at::Tensor second = at::zeros({target.size(0), 2});
    second.select(1, 0).fill_(std::log(3.0));
    const at::Tensor tokens = target.narrow(1, 0, 3).reshape(-1);
    return at::cat({Model::score(output.view({-1, 4}), tokens), Model::score(second, target.select(1, 3))});
  }
  std::int64_t num_heads() const override { return 2; }
};

TEST(EvaluateTest, EveryAnswerOfEveryHeadCountsOnce) {
  for (const int world_size : {1, 2, 7}) {  // with 7 two ranks have no samples
    testing::run_ranks(world_size, [&](Communicator& comm) {
      TwoHeads model;
      LogicalRanks ranks(0, comm, at::kCPU);
      const Evaluation result =
          evaluate(model, std::make_shared<Sequences>(), comm, ranks, {.batch_size = 2});
      EXPECT_EQ(result.samples, 5);
      EXPECT_NEAR(result.loss, std::log(4.0) - std::log(0.75), 1e-6);
      EXPECT_DOUBLE_EQ(result.accuracy,
                       0.0);  // the first of four equal logits is taken: token 0, never right
    });
  }
}

TEST(EvaluateTest, EverySampleCountsOnceWhateverTheNumbers) {
  for (const int world_size : {1, 2, 3, 4}) {
    for (const std::int64_t size : {1, 2, 7, 10, 100}) {
      testing::run_ranks(world_size, [&](Communicator& comm) {
        AlwaysOne model;
        LogicalRanks ranks(0, comm, at::kCPU);
        const Evaluation result =
            evaluate(model, std::make_shared<Numbers>(size), comm, ranks, {.batch_size = 3});
        std::int64_t ones = 0;
        for (std::int64_t i = 0; i < size; ++i) ones += i % 3 == 1;
        const double log_sum = std::log(std::exp(1.0) + 2.0);
        EXPECT_EQ(result.samples, size);
        EXPECT_DOUBLE_EQ(result.accuracy, static_cast<double>(ones) / static_cast<double>(size));
        EXPECT_NEAR(result.loss, log_sum - static_cast<double>(ones) / static_cast<double>(size), 1e-6);
        EXPECT_TRUE(model.is_training());
      });
    }
  }
}

// Logits that differ from sample to sample, so that the order of a sum shows in its last bits.
class Waves final : public Model {
 public:
  at::Tensor forward(at::Tensor data) override {
    return at::cat({data.sin(), data.mul(3.0).cos(), data.mul(0.7).sin()}, 1);
  }
};

TEST(EvaluateTest, LogicalRanksGiveTheSameBitsOnAnyNumberOfRanks) {
  std::vector<double> losses;
  for (const int world_size : {6, 3, 2, 1}) {
    testing::run_ranks(world_size, [&](Communicator& comm) {
      Waves model;
      LogicalRanks ranks(6, comm, at::kCPU);
      const Evaluation result =
          evaluate(model, std::make_shared<Numbers>(101), comm, ranks, {.batch_size = 4});
      EXPECT_EQ(result.samples, 101);
      if (comm.rank() == 0) losses.push_back(result.loss);
    });
  }
  EXPECT_EQ(losses, std::vector<double>(4, losses.front()));
}

// The wish of one rank, early or late, in an evaluation whose ranks have different numbers of batches.
TEST(EvaluateTest, OneRanksWishAbandonsItOnAll) {
  constexpr std::int64_t kSize = 3 * 40 + 1;  // with batches of 1: rank 0 has 41, the others 40
  for (const int wisher : {0, 2}) {
    for (const int at_batch : {1, 18}) {
      testing::run_ranks(3, [&](Communicator& comm) {
        AlwaysOne model;
        LogicalRanks ranks(0, comm, at::kCPU);
        int batches = 0;
        const Evaluation result = evaluate(model, std::make_shared<Numbers>(kSize), comm, ranks,
                                           {.batch_size = 1, .wants_to_stop = [&] {
                                              return ++batches >= at_batch && comm.rank() == wisher;
                                            }});
        EXPECT_TRUE(result.abandoned);
        EXPECT_EQ(batches, at_batch == 1 ? 4 : 20);  // votes come every 4 batches
        EXPECT_TRUE(model.is_training());
      });
    }
  }
}

TEST(EvaluateTest, VotesLeaveTheResultAlone) {
  for (const int world_size : {1, 2, 3}) {
    testing::run_ranks(world_size, [&](Communicator& comm) {
      Waves model;
      LogicalRanks ranks(6, comm, at::kCPU);
      const auto data = std::make_shared<Numbers>(101);
      const Evaluation without = evaluate(model, data, comm, ranks, {.batch_size = 1});
      const Evaluation with =
          evaluate(model, data, comm, ranks, {.batch_size = 1, .wants_to_stop = [] { return false; }});
      EXPECT_FALSE(with.abandoned);
      EXPECT_EQ(with.loss, without.loss);
      EXPECT_EQ(with.accuracy, without.accuracy);
    });
  }
}

}  // namespace
}  // namespace lockstep

#include "sampler/token_dataset.h"

#include <ATen/core/Tensor.h>
#include <gtest/gtest.h>

#include <stdexcept>

#include "sampler/data_error.h"
#include "tests/sampler/token_writer.h"

namespace lockstep {
namespace {

using testing::expect_error;

// Token i is 10 i.
class Tens final : public TokenSource {
 public:
  explicit Tens(std::int64_t size) : size_(size) {}
  std::int64_t size() const override { return size_; }
  std::int64_t vocabulary_size() const override { return 1000; }
  void read(std::int64_t first, std::span<std::int64_t> to) const override {
    for (std::int64_t& token : to) token = 10 * first++;
  }
  std::string name() const override { return "tens"; }

 private:
  std::int64_t size_;
};

TokenDataset dataset(std::int64_t tokens, std::int64_t sequence_length) {
  return TokenDataset("tens train", std::make_shared<Tens>(tokens), sequence_length);
}

std::vector<std::int64_t> values(const at::Tensor& tensor) {
  return {tensor.const_data_ptr<std::int64_t>(), tensor.const_data_ptr<std::int64_t>() + tensor.numel()};
}

TEST(TokenDataset, SampleIAreTheTokensFromITOnAndTheTargetIsOneFurther) {
  const TokenDataset tens = dataset(13, 4);
  EXPECT_EQ(tens.size(), 3);
  const Batch batch = tens.get_batch(std::vector<std::int64_t>{2, 0});
  EXPECT_EQ(batch.data.sizes(), (at::IntArrayRef{2, 4}));
  EXPECT_EQ(values(batch.data), (std::vector<std::int64_t>{80, 90, 100, 110, 0, 10, 20, 30}));
  EXPECT_EQ(values(batch.target), (std::vector<std::int64_t>{90, 100, 110, 120, 10, 20, 30, 40}));
  EXPECT_EQ(tens.shape().sample_sizes, (std::vector<std::int64_t>{4}));
  EXPECT_EQ(tens.shape().sequence_length, 4);
  EXPECT_EQ(tens.shape().vocabulary_size, 1000);
  EXPECT_EQ(tens.shape().num_classes, 0);
  EXPECT_EQ(tens.description(), "tens train (3 samples of 4 tokens)");
}

TEST(TokenDataset, TheLastSampleNeedsTheTokenAfterIt) {
  EXPECT_EQ(dataset(12, 4).size(), 2);
  EXPECT_EQ(dataset(5, 4).size(), 1);
}

TEST(TokenDataset, RefusesWhatCannotBe) {
  expect_error<DataError>([] { dataset(4, 4); },
                          {"tens train: 4 tokens are too few for one sample of 4", "--sequence-length"});
  EXPECT_THROW(dataset(4, 0), std::invalid_argument);
  EXPECT_THROW(dataset(13, 4).get_batch(std::vector<std::int64_t>{3}), std::out_of_range);
  EXPECT_THROW(dataset(13, 4).get_batch(std::vector<std::int64_t>{-1}), std::out_of_range);
}

TEST(TokenSlice, IsAPartOfARow) {
  const TokenSlice slice(std::make_shared<Tens>(100), 40, 5);
  EXPECT_EQ(slice.size(), 5);
  std::vector<std::int64_t> tokens(2);
  slice.read(3, tokens);
  EXPECT_EQ(tokens, (std::vector<std::int64_t>{430, 440}));
}

}  // namespace
}  // namespace lockstep

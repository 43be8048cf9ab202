#include "sampler/masked_token_dataset.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <numeric>
#include <stdexcept>

#include "sampler/data_error.h"
#include "sampler/synthetic_tokens.h"
#include "tests/sampler/idx_writer.h"

namespace lockstep {
namespace {

using testing::expect_error;

// As in tests/reference/token_data.py.
class Formula final : public TokenSource {
 public:
  explicit Formula(std::int64_t vocabulary_size) : vocabulary_size_(vocabulary_size) {}
  std::int64_t size() const override { return 500; }
  std::int64_t vocabulary_size() const override { return vocabulary_size_; }
  void read(std::int64_t first, std::span<std::int64_t> to) const override {
    for (std::int64_t& token : to) {
      token = (7 * first * first + 3 * first) % 97;
      ++first;
    }
  }
  std::string name() const override { return "formula"; }

 private:
  std::int64_t vocabulary_size_;
};

MaskedTokenDataset formula(std::int64_t length, std::int64_t vocabulary = 97) {
  return MaskedTokenDataset("formula", std::make_shared<Formula>(vocabulary), length, 42, Split::kTrain);
}

std::vector<std::int64_t> first(std::int64_t count) {
  std::vector<std::int64_t> indices(static_cast<std::size_t>(count));
  std::iota(indices.begin(), indices.end(), 0);
  return indices;
}

TEST(MaskedTokenDataset, HasTheSamplesOfThePythonThatFollowsTheSameRule) {
  const char* file = std::getenv("LOCKSTEP_TOKEN_REFERENCE");
  ASSERT_NE(file, nullptr) << "ctest makes the reference file and names it";
  std::ifstream reference(file);
  int cases = 0;
  std::uint64_t seed = 0;
  for (std::int64_t length = 0, vocabulary = 0, split = 0, samples = 0;
       reference >> length >> vocabulary >> seed >> split >> samples; ++cases) {
    const MaskedTokenDataset dataset("formula", std::make_shared<Formula>(vocabulary), length, seed,
                                     split == 0 ? Split::kTrain : Split::kTest);
    ASSERT_EQ(dataset.size(), samples);
    for (std::int64_t i = 0; i < samples; ++i) {
      const Batch batch = dataset.get_batch(std::vector<std::int64_t>{i});
      for (const at::Tensor& tensor : {batch.data, batch.target}) {
        for (std::int64_t j = 0; j < tensor.numel(); ++j) {
          std::int64_t expected = 0;
          ASSERT_TRUE(reference >> expected);
          ASSERT_EQ(tensor.const_data_ptr<std::int64_t>()[j], expected) << "sample " << i << ", number " << j;
        }
      }
    }
  }
  EXPECT_EQ(cases, 4);
}

TEST(MaskedTokenDataset, IsTheSameWhoeverReadsItAndWhenever) {
  const Batch all = formula(20).get_batch(first(29));
  const Batch some = formula(20).get_batch(std::vector<std::int64_t>{17, 4});
  EXPECT_TRUE(at::equal(some.data[0], all.data[17]));
  EXPECT_TRUE(at::equal(some.target[1], all.target[4]));
}

TEST(MaskedTokenDataset, MasksFifteenInAHundredEightyTenTen) {
  // Tokens 0 to 999, and 103 tokens a sample of which 15 are predicted.
  const auto tokens = std::make_shared<SyntheticTokens>(1, Split::kTrain, 200'000, 1000);
  const MaskedTokenDataset dataset("synthetic", tokens, 103, 5, Split::kTrain);
  ASSERT_EQ(dataset.size(), 2000);
  const Batch batch = dataset.get_batch(first(2000));
  const auto data = batch.data.accessor<std::int64_t, 3>();
  const auto target = batch.target.accessor<std::int64_t, 2>();
  int predicted = 0, masked = 0, kept = 0, elsewhere = 0;
  for (std::int64_t i = 0; i < 2000; ++i) {
    EXPECT_EQ(data[i][0][0], 1000);    // [CLS]
    EXPECT_EQ(data[i][0][51], 1001);   // [SEP] after 50 tokens of A
    EXPECT_EQ(data[i][0][102], 1001);  // [SEP]
    EXPECT_EQ(data[i][1][51], 0);
    EXPECT_EQ(data[i][1][52], 1);
    for (std::int64_t j = 0; j < 103; ++j) {
      if (target[i][j] == -100) continue;
      ++predicted;
      masked += data[i][0][j] == 1002 ? 1 : 0;
      kept += data[i][0][j] == target[i][j] ? 1 : 0;
    }
    elsewhere += target[i][103] == 1 ? 1 : 0;
  }
  EXPECT_EQ(predicted, 2000 * 15);
  // Of 30,000 with probability 0.8 and 0.1 + 0.1 / 1000, and of 2,000 with 0.5: five standard deviations.
  EXPECT_NEAR(masked, 24000, 350);
  EXPECT_NEAR(kept, 3003, 260);
  EXPECT_NEAR(elsewhere, 1000, 112);
}

TEST(MaskedTokenDataset, KnowsWhereBertsOwnVocabulariesHaveTheirSpecialTokens) {
  EXPECT_EQ(formula(20).shape().vocabulary_size, 100);
  EXPECT_EQ(formula(20).shape().sample_sizes, (std::vector<std::int64_t>{2, 20}));
  EXPECT_EQ(formula(20).shape().sequence_length, 20);
  for (const std::int64_t vocabulary : {30522, 28996}) {
    const MaskedTokenDataset dataset = formula(20, vocabulary);
    EXPECT_EQ(dataset.shape().vocabulary_size, vocabulary);
    const Batch batch = dataset.get_batch(first(1));
    EXPECT_EQ(batch.data[0][0][0].item<std::int64_t>(), 101);
    EXPECT_EQ(batch.data[0][0][19].item<std::int64_t>(), 102);
  }
}

TEST(MaskedTokenDataset, RefusesWhatCannotBe) {
  expect_error<std::invalid_argument>([] { formula(4); }, {"sequence length 4", "at least 5"});
  expect_error<DataError>([] { formula(504); }, {"500 tokens are too few", "501", "--sequence-length"});
  EXPECT_EQ(formula(503).size(), 1);
  EXPECT_EQ(formula(503).description(), "formula (1 samples of 503 tokens, some masked)");
  EXPECT_THROW(formula(503).get_batch(std::vector<std::int64_t>{1}), std::out_of_range);
}

}  // namespace
}  // namespace lockstep

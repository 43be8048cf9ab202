#include "sampler/datasets.h"

#include <ATen/core/Tensor.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <stdexcept>

#include "sampler/data_error.h"
#include "tests/sampler/idx_writer.h"

namespace lockstep {
namespace {

using testing::expect_error;
using testing::idx_images;
using testing::idx_labels;
using testing::write_file;

void write_set(const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  write_file(folder / "train-images-idx3-ubyte", idx_images(2, 1, 1, {0, 255}));
  write_file(folder / "train-labels-idx1-ubyte", idx_labels({0, 1}));
  write_file(folder / "t10k-images-idx3-ubyte", idx_images(1, 1, 1, {255}));
  write_file(folder / "t10k-labels-idx1-ubyte", idx_labels({1}));
}

float first_value(const Dataset& dataset) {
  return dataset.get_batch(std::vector<std::int64_t>{0}).data.const_data_ptr<float>()[0];
}

class Datasets : public ::testing::Test {
 protected:
  void SetUp() override { setenv("LOCKSTEP_DATA", folder_.path().c_str(), 1); }
  void TearDown() override { unsetenv("LOCKSTEP_DATA"); }
  TemporaryFolder folder_;
};

TEST_F(Datasets, LooksAKnownNameUpInTheEnvironmentsFolderFirst) {
  write_set(folder_.path() / "fashion-mnist");
  const TrainAndTest sets = open_dataset("fashion-mnist");
  EXPECT_EQ(sets.train->size(), 2);
  EXPECT_EQ(sets.test->size(), 1);
  // The known set's own constants, whatever the files hold.
  EXPECT_EQ(sets.train->shape().num_classes, 10);
  EXPECT_EQ(first_value(*sets.train), (0.0f - 0.2860f) / 0.3530f);
  EXPECT_EQ(sets.train->description(), "fashion-mnist train (2 samples)");

  write_set(folder_.path() / "mnist");
  EXPECT_EQ(first_value(*open_dataset("mnist").test), (1.0f - 0.1307f) / 0.3081f);
}

TEST_F(Datasets, FindsTheSystemsFashionMnist) {
  EXPECT_EQ(open_dataset("fashion-mnist").test->size(), 10000);
}

TEST_F(Datasets, OpensAFolder) {
  write_set(folder_.path() / "mine");
  for (const char* ending : {"", "/"}) {
    const TrainAndTest sets = open_dataset((folder_.path() / "mine").string() + ending);
    EXPECT_EQ(sets.train->description(), "mine train (2 samples)");
    EXPECT_EQ(sets.train->shape().num_classes, 2);
    EXPECT_EQ(first_value(*sets.train), -1.0f);  // mean 0.5, deviation 0.5
  }
  expect_error<DataError>([&] { open_dataset(folder_.path().string()); },
                          {folder_.path().string(), "train-images-idx3-ubyte is missing"});
}

TEST_F(Datasets, MakesSyntheticData) {
  const TrainAndTest sets = open_dataset(
      "synthetic",
      {.seed = 5, .synthetic_samples = 41, .synthetic_sizes = {3, 8, 8}, .synthetic_classes = 7});
  EXPECT_EQ(sets.train->size(), 41);
  EXPECT_EQ(sets.test->size(), 10);
  EXPECT_EQ(sets.test->shape().sample_sizes, (std::vector<std::int64_t>{3, 8, 8}));
  EXPECT_EQ(sets.test->shape().num_classes, 7);
  EXPECT_EQ(open_dataset("synthetic", {.synthetic_samples = 2}).test->size(), 1);
  EXPECT_THROW(open_dataset("synthetic", {.synthetic_samples = 0}), std::invalid_argument);
}

TEST_F(Datasets, OpensCifar10ByItsNameOrItsFolder) {
  const auto archive = folder_.path() / "cifar10" / "cifar-10-batches-bin";
  std::filesystem::create_directories(archive);
  testing::Bytes record(3073, 255);
  record[0] = 9;
  write_file(archive / "data_batch_1.bin", record);
  write_file(archive / "test_batch.bin", record);
  EXPECT_EQ(open_dataset("cifar10").train->description(), "cifar10 train (1 samples)");
  EXPECT_EQ(open_dataset((folder_.path() / "cifar10").string()).test->size(), 1);
  EXPECT_EQ(open_dataset(archive.string()).train->description(), "cifar-10-batches-bin train (1 samples)");
}

TEST_F(Datasets, OpensTokens) {
  const auto file = folder_.path() / "a.txt";
  write_text(file, std::string(1000, 'a'));
  const TrainAndTest text = open_dataset("text:" + file.string(), {.sequence_length = 10});
  EXPECT_EQ(text.train->description(), "a.txt train (89 samples of 10 tokens)");  // (900 - 1) / 10
  EXPECT_EQ(text.test->size(), 9);                                                // (100 - 1) / 10
  EXPECT_EQ(text.train->shape().vocabulary_size, 256);
  const TrainAndTest masked =
      open_dataset("tokens:" + file.string(), {.token_task = TokenTask::kMaskedToken, .sequence_length = 13});
  EXPECT_EQ(masked.train->shape().sample_sizes, (std::vector<std::int64_t>{2, 13}));
  EXPECT_EQ(masked.train->shape().vocabulary_size, 30522);  // BERT's, of 500 tokens without a header
  const TrainAndTest synthetic = open_dataset(
      "synthetic-tokens", {.synthetic_samples = 40, .sequence_length = 8, .vocabulary_size = 50});
  EXPECT_EQ(synthetic.train->size(), 40);
  EXPECT_EQ(synthetic.test->size(), 10);
  EXPECT_EQ(synthetic.train->shape().vocabulary_size, 50);
}

TEST_F(Datasets, SaysWhatWasLookedForWhereASetIsMissing) {
  expect_error<DataError>([] { open_dataset("mnist"); },
                          {(folder_.path() / "mnist").string(), "/usr/share/datasets/mnist"});
}

TEST_F(Datasets, NamesTheNearestOfTheKnownNames) {
  expect_error<std::invalid_argument>(
      [] { open_dataset("fashon-mnist"); },
      {"'fashon-mnist'", "did you mean 'fashion-mnist'", "synthetic", "folder"});
  expect_error<std::invalid_argument>([] { open_dataset("/no/such/folder"); }, {"'/no/such/folder'"});
  expect_error<std::invalid_argument>([] { open_dataset(""); }, {"''"});
  expect_error<std::invalid_argument>([] { open_dataset("test:file"); }, {"did you mean 'text:PATH'?"});
  EXPECT_EQ(dataset_names(), (std::vector<std::string>{"fashion-mnist", "mnist", "cifar10", "synthetic",
                                                       "synthetic-tokens", "text:PATH", "tokens:PATH"}));
}

}  // namespace
}  // namespace lockstep

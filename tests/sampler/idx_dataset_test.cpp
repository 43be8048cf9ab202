#include "sampler/idx_dataset.h"

#include <ATen/core/Tensor.h>
#include <gtest/gtest.h>

#include <bit>
#include <cstdlib>
#include <map>
#include <stdexcept>

#include "sampler/data_error.h"
#include "tests/sampler/idx_writer.h"

namespace lockstep {
namespace {

using testing::Bytes;
using testing::expect_error;
using testing::gzip;
using testing::idx_images;
using testing::idx_labels;
using testing::write_file;

// All 256 bytes as one-pixel pictures.
IdxImages all_bytes() {
  IdxImages images{.count = 256, .rows = 1, .columns = 1, .pixels = Bytes(256)};
  for (std::size_t i = 0; i < 256; ++i) images.pixels[i] = static_cast<std::uint8_t>(i);
  return images;
}

TEST(IdxDataset, NormalisesWithTheBitsOfPython) {
  const char* file = std::getenv("LOCKSTEP_PIXEL_REFERENCE");
  ASSERT_NE(file, nullptr) << "ctest makes the reference file and names it";
  std::ifstream reference(file);
  std::vector<std::int64_t> all(256);
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<std::int64_t>(i);
  int sets = 0;
  double mean = 0.0;
  double std = 0.0;
  while (reference >> mean >> std) {
    const IdxDataset dataset("bytes", all_bytes(), Bytes(256, 0), 1,
                             {static_cast<float>(mean), static_cast<float>(std)}, "labels");
    const at::Tensor data = dataset.get_batch(all).data;
    for (int i = 0; i < 256; ++i) {
      std::int32_t bits = 0;
      ASSERT_TRUE(reference >> bits);
      EXPECT_EQ(std::bit_cast<std::int32_t>(data.const_data_ptr<float>()[i]), bits)
          << "byte " << i << ", mean " << mean;
    }
    ++sets;
  }
  EXPECT_EQ(sets, 8);
}

TEST(IdxDataset, ServesTheSamplesThatAreAskedFor) {
  const IdxImages images{.count = 3, .rows = 1, .columns = 2, .pixels = {0, 51, 102, 153, 204, 255}};
  const IdxDataset dataset("tiny", images, {2, 0, 1}, 3, {}, "labels");
  EXPECT_EQ(dataset.size(), 3);
  EXPECT_EQ(dataset.shape().sample_sizes, (std::vector<std::int64_t>{1, 1, 2}));
  EXPECT_EQ(dataset.shape().num_classes, 3);
  EXPECT_EQ(dataset.description(), "tiny (3 samples)");

  const std::vector<std::int64_t> indices = {2, 0, 2};
  const Batch batch = dataset.get_batch(indices);
  EXPECT_EQ(batch.data.sizes(), (at::IntArrayRef{3, 1, 1, 2}));
  EXPECT_EQ(batch.data.scalar_type(), at::kFloat);
  EXPECT_EQ(batch.target.scalar_type(), at::kLong);
  const float* data = batch.data.const_data_ptr<float>();
  EXPECT_EQ(std::vector<float>(data, data + 6), (std::vector<float>{0.8f, 1.0f, 0.0f, 0.2f, 0.8f, 1.0f}));
  const std::int64_t* target = batch.target.const_data_ptr<std::int64_t>();
  EXPECT_EQ(std::vector<std::int64_t>(target, target + 3), (std::vector<std::int64_t>{1, 2, 1}));

  for (const std::int64_t outside : {std::int64_t{-1}, std::int64_t{3}}) {
    EXPECT_THROW(dataset.get_batch(std::vector<std::int64_t>{0, outside}), std::out_of_range);
  }
}

TEST(IdxDataset, RefusesLabelsThatDoNotFit) {
  const auto make = [](Bytes labels) {
    IdxDataset("s", all_bytes(), std::move(labels), 10, {}, "some/labels");
  };
  expect_error<DataError>([&] { make(Bytes(255, 0)); }, {"some/labels: ", "255 labels", "256 images"});
  Bytes labels(256, 9);
  EXPECT_NO_THROW(make(labels));
  labels[7] = 10;
  expect_error<DataError>([&] { make(labels); }, {"some/labels: label 10 of sample 7", "0 to 9"});
}

TEST(PixelNormalization, IsMeanAndDeviationOfThePixels) {
  // Half 0, half 255: mean 1/2, deviation 1/2.
  const PixelNormalization halves = pixel_normalization(Bytes{0, 255, 255, 0});
  EXPECT_EQ(halves.mean, 0.5f);
  EXPECT_EQ(halves.std, 0.5f);
  // 0, 51, 102 of 255: 0, 0.2, 0.4: mean 0.2, variance 0.08 / 3.
  const PixelNormalization steps = pixel_normalization(Bytes{0, 51, 102});
  EXPECT_FLOAT_EQ(steps.mean, 0.2f);
  EXPECT_FLOAT_EQ(steps.std, 0.16329932f);
  const PixelNormalization flat = pixel_normalization(Bytes(10, 51));
  EXPECT_FLOAT_EQ(flat.mean, 0.2f);
  EXPECT_EQ(flat.std, 1.0f);
}

class IdxFolder : public ::testing::Test {
 protected:
  void SetUp() override {
    write("train-images-idx3-ubyte", idx_images(2, 1, 2, {0, 255, 255, 0}));
    write("train-labels-idx1-ubyte", idx_labels({0, 4}));
    write("t10k-images-idx3-ubyte.gz", gzip(idx_images(1, 1, 2, {255, 0})));
    write("t10k-labels-idx1-ubyte.gz", gzip(idx_labels({3})));
  }
  void write(const std::string& name, const Bytes& bytes) { write_file(folder_.path() / name, bytes); }
  void expect_bad(const std::vector<std::string>& parts) {
    expect_error<DataError>([&] { open_idx_folder("set", folder_.path()); }, parts);
  }
  TemporaryFolder folder_;
};

TEST_F(IdxFolder, TakesClassesAndNormalisationFromTheTrainingSplit) {
  const IdxTrainAndTest sets = open_idx_folder("set", folder_.path());
  EXPECT_EQ(sets.train->size(), 2);
  EXPECT_EQ(sets.test->size(), 1);
  EXPECT_EQ(sets.train->shape().num_classes, 5);
  EXPECT_EQ(sets.test->shape().num_classes, 5);
  EXPECT_EQ(sets.test->description(), "set test (1 samples)");
  const at::Tensor data = sets.test->get_batch(std::vector<std::int64_t>{0}).data;
  EXPECT_EQ(data.const_data_ptr<float>()[0], 1.0f);  // (1 - 0.5) / 0.5
  EXPECT_EQ(data.const_data_ptr<float>()[1], -1.0f);
}

TEST_F(IdxFolder, NamesTheMissingFileAndAllThatAreLookedFor) {
  std::filesystem::remove(folder_.path() / "t10k-labels-idx1-ubyte.gz");
  expect_bad({folder_.path().string() + ": t10k-labels-idx1-ubyte is missing", "train-images-idx3-ubyte",
              "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", ".gz"});
}

TEST_F(IdxFolder, RefusesSplitsThatDisagree) {
  write("t10k-images-idx3-ubyte.gz", gzip(idx_images(1, 2, 1, {255, 0})));
  expect_bad({"t10k-images-idx3-ubyte.gz", "2x1", "1x2"});
  SetUp();
  write("t10k-labels-idx1-ubyte.gz", gzip(idx_labels({5})));
  expect_bad({"t10k-labels-idx1-ubyte.gz: label 5 of sample 0", "0 to 4"});
  SetUp();
  write("train-labels-idx1-ubyte", idx_labels({0, 4, 1}));
  expect_bad({"train-labels-idx1-ubyte: holds 3 labels for 2 images"});
}

TEST(FashionMnist, IsWhatItsAuthorsDescribe) {
  // Xiao, Rasul, Vollgraf 2017: 60,000 and 10,000 pictures of 28 x 28 in 10 classes, equally many of each;
  // the mean and deviation that PyTorch's users pass to Normalize.
  const std::filesystem::path folder = "/usr/share/datasets/fashion-mnist";
  const IdxImages images = read_idx_images(folder / "train-images-idx3-ubyte.gz");
  const PixelNormalization normalization = pixel_normalization(images.pixels);
  EXPECT_NEAR(normalization.mean, 0.2860f, 0.00005f);
  EXPECT_NEAR(normalization.std, 0.3530f, 0.00005f);
  const IdxTrainAndTest sets =
      open_idx_folder("fashion-mnist", folder, {.num_classes = 10, .normalization = {}});
  EXPECT_EQ(sets.train->size(), 60000);
  EXPECT_EQ(sets.test->size(), 10000);
  EXPECT_EQ(sets.train->shape().sample_sizes, (std::vector<std::int64_t>{1, 28, 28}));
  std::map<std::uint8_t, int> counts;
  for (const std::uint8_t label : read_idx_labels(folder / "train-labels-idx1-ubyte.gz")) ++counts[label];
  EXPECT_EQ(counts.size(), 10u);
  for (const auto& [label, count] : counts) EXPECT_EQ(count, 6000) << int{label};
}

}  // namespace
}  // namespace lockstep

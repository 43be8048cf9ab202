#include "sampler/cifar10_dataset.h"

#include <ATen/core/Tensor.h>
#include <gtest/gtest.h>

#include <bit>
#include <cstdlib>
#include <fstream>
#include <map>
#include <stdexcept>

#include "sampler/data_error.h"
#include "tests/sampler/idx_writer.h"

namespace lockstep {
namespace {

using testing::Bytes;
using testing::expect_error;
using testing::write_file;

// A record whose pixel i of channel c is `i + offset[c]`, modulo 256.
void add_record(Bytes& file, std::uint8_t label, std::array<int, 3> offset = {0, 0, 0}) {
  file.push_back(label);
  for (const int begin : offset) {
    for (int i = 0; i < 1024; ++i) file.push_back(static_cast<std::uint8_t>(begin + i));
  }
}

class Cifar10 : public ::testing::Test {
 protected:
  std::filesystem::path write(const std::string& name, const Bytes& bytes) {
    write_file(folder_.path() / name, bytes);
    return folder_.path() / name;
  }
  void expect_refusal(const Bytes& bytes, const std::vector<std::string>& parts) {
    const auto file = write("data_batch_1.bin", bytes);
    expect_error<DataError>([&] { Cifar10Dataset("set", {file}); }, parts);
  }
  TemporaryFolder folder_;
};

TEST_F(Cifar10, NormalisesEachChannelWithTheBitsOfPython) {
  // (mean, std) to the 256 results of PyTorch.
  std::map<std::pair<double, double>, std::vector<std::int32_t>> expected;
  const char* reference = std::getenv("LOCKSTEP_PIXEL_REFERENCE");
  ASSERT_NE(reference, nullptr) << "ctest makes the reference file and names it";
  std::ifstream input(reference);
  for (double mean = 0, std = 0; input >> mean >> std;) {
    auto& bits = expected[{mean, std}];
    bits.resize(256);
    for (std::int32_t& value : bits) input >> value;
  }
  Bytes bytes;
  add_record(bytes, 3, {0, 7, 200});
  const Batch batch = Cifar10Dataset("set", {write("a.bin", bytes)}).get_batch(std::vector<std::int64_t>{0});
  ASSERT_EQ(batch.data.sizes(), (at::IntArrayRef{1, 3, 32, 32}));
  const std::pair<double, double> normalizations[] = {{0.4914, 0.2470}, {0.4822, 0.2435}, {0.4465, 0.2616}};
  for (std::size_t channel = 0; channel < 3; ++channel) {
    const auto& bits = expected.at(normalizations[channel]);
    for (std::size_t i = 0; i < 1024; ++i) {
      EXPECT_EQ(std::bit_cast<std::int32_t>(batch.data.const_data_ptr<float>()[1024 * channel + i]),
                bits[bytes[1 + 1024 * channel + i]]);
    }
  }
}

TEST_F(Cifar10, ServesTheSamplesOfAllFilesInOrder) {
  for (int i = 1; i <= 3; ++i) {
    Bytes bytes;
    for (int j = 0; j < i; ++j) add_record(bytes, static_cast<std::uint8_t>(2 * i + j));
    write("data_batch_" + std::to_string(i) + ".bin", bytes);
  }
  Bytes test;
  add_record(test, 0);
  write("test_batch.bin", test);
  const auto sets = open_cifar10_folder("set", folder_.path());
  EXPECT_EQ(sets.train->size(), 6);
  EXPECT_EQ(sets.test->size(), 1);
  const Batch batch = sets.train->get_batch(std::vector<std::int64_t>{5, 0, 1, 2, 3, 4});
  const std::vector<std::int64_t> labels(batch.target.const_data_ptr<std::int64_t>(),
                                         batch.target.const_data_ptr<std::int64_t>() + 6);
  EXPECT_EQ(labels, (std::vector<std::int64_t>{8, 2, 4, 5, 6, 7}));
  EXPECT_THROW(sets.train->get_batch(std::vector<std::int64_t>{6}), std::out_of_range);
  EXPECT_THROW(sets.train->get_batch(std::vector<std::int64_t>{-1}), std::out_of_range);
}

TEST_F(Cifar10, RefusesWhatItCannotUse) {
  Bytes bytes;
  add_record(bytes, 1);
  add_record(bytes, 10);
  expect_refusal(bytes, {"data_batch_1.bin: label 10 of sample 1", "0 to 9"});
  bytes.pop_back();
  expect_refusal(bytes, {"data_batch_1.bin", "6145 bytes", "3073"});
  expect_refusal({}, {"data_batch_1.bin: is empty"});
  expect_error<DataError>([&] { Cifar10Dataset("set", {folder_.path() / "none.bin"}); },
                          {"none.bin: cannot be opened"});
  expect_error<DataError>([&] { Cifar10Dataset("set", {folder_.path()}); }, {"is not a regular file"});
}

TEST_F(Cifar10, NamesTheFileThatAFolderLacks) {
  EXPECT_FALSE(is_cifar10_folder(folder_.path()));
  expect_error<DataError>([&] { open_cifar10_folder("set", folder_.path()); },
                          {folder_.path().string(), "data_batch_1.bin is missing"});
  Bytes bytes;
  add_record(bytes, 1);
  write("data_batch_1.bin", bytes);
  EXPECT_TRUE(is_cifar10_folder(folder_.path()));
  expect_error<DataError>([&] { open_cifar10_folder("set", folder_.path()); }, {"test_batch.bin is missing"});
}

}  // namespace
}  // namespace lockstep

#include "sampler/token_sets.h"

#include <ATen/core/Tensor.h>
#include <gtest/gtest.h>

#include "sampler/data_error.h"
#include "tests/sampler/token_writer.h"

namespace lockstep {
namespace {

using testing::expect_error;
using testing::little_endian;
using testing::llmc_file;
using testing::write_file;

std::int64_t first_token(const Dataset& dataset) {
  return dataset.get_batch(std::vector<std::int64_t>{0}).data.const_data_ptr<std::int64_t>()[0];
}

class TokenSets : public ::testing::Test {
 protected:
  TrainAndTest open(TokenFileKind kind, std::int64_t sequence_length) {
    return open_token_files(folder_.path(), kind, {.sequence_length = sequence_length});
  }
  TemporaryFolder folder_;
};

TEST_F(TokenSets, TheLastTenthIsForTesting) {
  std::string text(100, 'a');
  text[90] = 'b';
  write_text(folder_.path() / "a.txt", text);
  const TrainAndTest sets =
      open_token_files(folder_.path() / "a.txt", TokenFileKind::kText, {.sequence_length = 3});
  EXPECT_EQ(sets.train->size(), 29);  // (90 - 1) / 3
  EXPECT_EQ(sets.test->size(), 3);    // (10 - 1) / 3
  EXPECT_EQ(first_token(*sets.train), 'a');
  EXPECT_EQ(first_token(*sets.test), 'b');
  EXPECT_EQ(sets.test->description(), "a.txt test (3 samples of 3 tokens)");
}

TEST_F(TokenSets, OneSampleAtLeastIsForTesting) {
  write_text(folder_.path() / "a.txt", std::string(100, 'a'));
  EXPECT_EQ(open(TokenFileKind::kText, 30).test->size(), 1);
  EXPECT_EQ(open(TokenFileKind::kText, 30).train->size(), 2);  // (100 - 31 - 1) / 30
  expect_error<DataError>([&] { open(TokenFileKind::kText, 50); },
                          {"a.txt: 100 tokens are too few", "51", "--sequence-length"});
}

TEST_F(TokenSets, FilesOfAFolderGoByTheirNames) {
  write_file(folder_.path() / "set_train_2.bin", little_endian<std::uint16_t>({5, 6, 7}));
  write_file(folder_.path() / "set_train_1.bin", little_endian<std::uint16_t>({1, 2, 3, 4}));
  write_file(folder_.path() / "set_val_1.bin", little_endian<std::uint16_t>({8, 9, 10}));
  write_text(folder_.path() / "notes.txt", "not tokens");
  const TrainAndTest sets = open(TokenFileKind::kTokens, 2);
  EXPECT_EQ(sets.train->size(), 3);
  EXPECT_EQ(first_token(*sets.train), 1);
  EXPECT_EQ(sets.train->description(), "set_train_1.bin and 1 more train (3 samples of 2 tokens)");
  EXPECT_EQ(sets.test->size(), 1);
  EXPECT_EQ(first_token(*sets.test), 8);
}

TEST_F(TokenSets, RefusesFoldersThatItCannotUse) {
  expect_error<DataError>([&] { open(TokenFileKind::kTokens, 2); },
                          {folder_.path().string(), "no *.bin file"});
  expect_error<DataError>([&] { open(TokenFileKind::kText, 2); }, {"no *.txt file"});
  write_file(folder_.path() / "val.bin", little_endian<std::uint16_t>({1, 2, 3}));
  expect_error<DataError>([&] { open(TokenFileKind::kTokens, 2); }, {"val.bin", "some to train on"});
  write_file(folder_.path() / "train.bin", llmc_file<std::uint32_t>(20240801, 7, 3, {1, 2, 3}));
  expect_error<DataError>([&] { open(TokenFileKind::kTokens, 2); }, {"val.bin", "50257", "128256"});
}

}  // namespace
}  // namespace lockstep

#include "sampler/token_files.h"

#include <gtest/gtest.h>

#include <stdexcept>

#include "sampler/data_error.h"
#include "tests/sampler/token_writer.h"

namespace lockstep {
namespace {

using testing::Bytes;
using testing::expect_error;
using testing::little_endian;
using testing::llmc_file;
using testing::write_file;
using Tokens = std::vector<std::int64_t>;

Tokens read(const TokenSource& source, std::int64_t first, std::size_t count) {
  Tokens tokens(count);
  source.read(first, tokens);
  return tokens;
}

class TokenFilesTest : public ::testing::Test {
 protected:
  std::filesystem::path write(const std::string& name, const Bytes& bytes) {
    write_file(folder_.path() / name, bytes);
    return folder_.path() / name;
  }
  void expect_refusal(const Bytes& bytes, const std::vector<std::string>& parts) {
    const auto file = write("bad.bin", bytes);
    std::vector<std::string> all = {file.string()};
    all.insert(all.end(), parts.begin(), parts.end());
    expect_error<DataError>([&] { TokenFiles({file}, TokenFileKind::kTokens); }, all);
  }
  TemporaryFolder folder_;
};

TEST_F(TokenFilesTest, ReadsEveryFormat) {
  const TokenFiles narrow({write("v1.bin", llmc_file<std::uint16_t>(20240520, 1, 3, {50256, 0, 40000}))},
                          TokenFileKind::kTokens);
  EXPECT_EQ(narrow.size(), 3);
  EXPECT_EQ(narrow.vocabulary_size(), 50257);
  EXPECT_EQ(read(narrow, 0, 3), (Tokens{50256, 0, 40000}));
  EXPECT_EQ(narrow.name(), "v1.bin");

  const TokenFiles wide({write("v7.bin", llmc_file<std::uint32_t>(20240801, 7, 2, {128000, 5}))},
                        TokenFileKind::kTokens);
  EXPECT_EQ(wide.vocabulary_size(), 128256);
  EXPECT_EQ(read(wide, 0, 2), (Tokens{128000, 5}));

  const auto bare = write("bare.bin", little_endian<std::uint16_t>({7, 258, 9}));
  const TokenFiles headerless({bare}, TokenFileKind::kTokens);
  EXPECT_EQ(headerless.vocabulary_size(), 50257);
  EXPECT_EQ(read(headerless, 1, 2), (Tokens{258, 9}));
  EXPECT_EQ(TokenFiles({bare}, TokenFileKind::kTokens, 0, 300).vocabulary_size(), 300);
  EXPECT_EQ(TokenFiles({bare}, TokenFileKind::kTokens, 301, 300).vocabulary_size(), 301);

  const TokenFiles text({write("a.txt", {'h', 255, 0})}, TokenFileKind::kText);
  EXPECT_EQ(text.vocabulary_size(), 256);
  EXPECT_EQ(read(text, 0, 3), (Tokens{'h', 255, 0}));
}

TEST_F(TokenFilesTest, JoinsFilesToOneRow) {
  const TokenFiles files({write("a.bin", little_endian<std::uint16_t>({1, 2, 3})),
                          write("b.bin", llmc_file<std::uint16_t>(20240520, 1, 2, {4, 5})),
                          write("c.bin", little_endian<std::uint16_t>({6}))},
                         TokenFileKind::kTokens);
  EXPECT_EQ(files.size(), 6);
  EXPECT_EQ(read(files, 0, 6), (Tokens{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(read(files, 3, 1), (Tokens{4}));
  EXPECT_EQ(files.name(), "a.bin and 2 more");
  EXPECT_THROW(read(files, 5, 2), std::out_of_range);
  EXPECT_THROW(read(files, -1, 1), std::out_of_range);
}

TEST_F(TokenFilesTest, RefusesFilesThatAreNotWhatTheySay) {
  expect_refusal(llmc_file<std::uint16_t>(20240520, 1, 3, {1, 2}),
                 {"is cut short", "3 tokens in 6 bytes", "4 bytes follow"});
  expect_refusal(llmc_file<std::uint16_t>(20240520, 1, 1, {1, 2}), {"goes on after the 1 token", "2 bytes"});
  expect_refusal(llmc_file<std::uint16_t>(20240520, 7, 1, {1}), {"has version 7", "20240520", "version 1"});
  expect_refusal(llmc_file<std::uint32_t>(20240801, 1, 1, {1}), {"has version 1", "20240801", "version 7"});
  expect_refusal(llmc_file<std::uint16_t>(20240520, 1, 0, {}), {"announces 0 tokens"});
  expect_refusal(llmc_file<std::uint16_t>(20240520, 1, -5, {}), {"announces -5 tokens"});
  expect_refusal(llmc_file<std::uint16_t>(20240522, 1, 1, {1}),
                 {"magic number 20240522", "20240520 (uint16), 20240801 (uint32)"});
  expect_refusal(little_endian<std::int32_t>({20240520, 1}), {"is cut short", "8 bytes", "1024-byte header"});
  expect_refusal({1, 2, 3}, {"has 3 bytes, an odd number"});
  expect_refusal({}, {"is empty"});
  expect_error<DataError>([&] { TokenFiles({folder_.path() / "none"}, TokenFileKind::kText); },
                          {"none: cannot be opened"});
  expect_error<DataError>([&] { TokenFiles({folder_.path()}, TokenFileKind::kText); },
                          {"is not a regular file"});
  const auto narrow = write("v1.bin", llmc_file<std::uint16_t>(20240520, 1, 1, {1}));
  const auto wide = write("v7.bin", llmc_file<std::uint32_t>(20240801, 7, 1, {1}));
  expect_error<DataError>(
      [&] {
        TokenFiles({narrow, wide}, TokenFileKind::kTokens);
      },
      {"v7.bin: is of a format with a vocabulary of 128256", "v1.bin", "50257"});
}

TEST_F(TokenFilesTest, NamesTheTokenThatIsBeyondTheVocabulary) {
  const TokenFiles files({write("a.bin", little_endian<std::uint16_t>({1, 2, 3})),
                          write("b.bin", little_endian<std::uint16_t>({4, 99, 100}))},
                         TokenFileKind::kTokens, 100);
  EXPECT_EQ(read(files, 0, 5), (Tokens{1, 2, 3, 4, 99}));
  expect_error<DataError>([&] { read(files, 2, 4); },
                          {"b.bin: token 100 at position 2 is beyond the vocabulary of 100", "0 to 99"});
}

}  // namespace
}  // namespace lockstep

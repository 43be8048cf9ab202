#include "trainer/checkpoint/durable_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/temporary_folder.h"

namespace lockstep {
namespace {

using testing::HasSubstr;

// From FIPS 180-4's examples.
constexpr const char* kSha256OfAbc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
constexpr const char* kSha256OfNothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

TEST(Sha256, HasThePublishedValues) {
  EXPECT_EQ(sha256_of("abc"), kSha256OfAbc);
  EXPECT_EQ(sha256_of(""), kSha256OfNothing);
}

TEST(DurableFile, DigestsWhatItWrites) {
  const TemporaryFolder folder;
  DurableFileWriter writer(folder.path() / "x");
  writer.write("a");
  writer.write("bc", 2);
  const FileDigest digest = writer.finish();
  EXPECT_EQ(digest, (FileDigest{3, kSha256OfAbc}));
  EXPECT_EQ(digest_of_file(folder.path() / "x"), digest);
  EXPECT_EQ(read_text(folder.path() / "x"), "abc");
}

TEST(DurableFile, DigestsFilesLongerThanOneChunk) {
  const TemporaryFolder folder;
  const std::string text(3'000'000, 'a');
  write_text(folder.path() / "x", text);
  EXPECT_EQ(digest_of_file(folder.path() / "x"), (FileDigest{text.size(), sha256_of(text)}));
}

TEST(DurableFile, NamesWhatFailed) {
  const TemporaryFolder folder;
  write_text(folder.path() / "x", "old");
  EXPECT_THAT([&] { DurableFileWriter writer(folder.path() / "x"); },
              testing::ThrowsMessage<DataError>(HasSubstr("/x: File exists")));
  EXPECT_EQ(read_text(folder.path() / "x"), "old");
  EXPECT_THAT([&] { digest_of_file(folder.path() / "missing"); },
              testing::ThrowsMessage<DataError>(HasSubstr("missing: No such file")));
  EXPECT_THROW(digest_of_file(folder.path()), DataError);
  EXPECT_THROW(fsync_folder(folder.path() / "x"), DataError);
  EXPECT_THROW(rename_path(folder.path() / "missing", folder.path() / "y"), DataError);
  EXPECT_THROW(exchange_paths(folder.path() / "missing", folder.path() / "x"), DataError);
}

TEST(DurableFile, ExchangesFolders) {
  const TemporaryFolder folder;
  write_text(folder.path() / "a" / "f", "of a");
  write_text(folder.path() / "b" / "f", "of b");
  ASSERT_TRUE(exchange_paths(folder.path() / "a", folder.path() / "b"));
  EXPECT_EQ(read_text(folder.path() / "a" / "f"), "of b");
  EXPECT_EQ(read_text(folder.path() / "b" / "f"), "of a");
}

}  // namespace
}  // namespace lockstep

#include "sampler/idx_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <numeric>

#include "sampler/data_error.h"
#include "tests/sampler/idx_writer.h"

namespace lockstep {
namespace {

using testing::Bytes;
using testing::expect_error;
using testing::gzip;
using testing::idx;
using testing::idx_images;
using testing::idx_labels;
using testing::write_file;

class IdxFile : public ::testing::Test {
 protected:
  std::filesystem::path write(const Bytes& bytes, const std::string& name = "file") {
    write_file(folder_.path() / name, bytes);
    return folder_.path() / name;
  }
  void expect_bad_images(const Bytes& bytes, const std::vector<std::string>& parts) {
    const auto file = write(bytes);
    auto all = parts;
    all.push_back(file.string() + ": ");
    expect_error<DataError>([&] { read_idx_images(file); }, all);
  }

  TemporaryFolder folder_;
  const Bytes pixels_ = {0, 1, 2, 3, 4, 5, 250, 251, 252, 253, 254, 255};
  const Bytes images_ = idx_images(2, 2, 3, pixels_);
};

TEST_F(IdxFile, ReadsPlainAndGzipImages) {
  for (const auto& file :
       {write(images_), write(gzip(images_), "file.gz"), write(gzip(images_), "misnamed")}) {
    const IdxImages images = read_idx_images(file);
    EXPECT_EQ(images.count, 2);
    EXPECT_EQ(images.rows, 2);
    EXPECT_EQ(images.columns, 3);
    EXPECT_EQ(images.pixels, pixels_);
  }
}

TEST_F(IdxFile, ReadsPlainAndGzipLabels) {
  const Bytes labels = {9, 0, 0, 3, 255};
  EXPECT_EQ(read_idx_labels(write(idx_labels(labels))), labels);
  EXPECT_EQ(read_idx_labels(write(gzip(idx_labels(labels)), "l.gz")), labels);
}

TEST_F(IdxFile, ReadsContentBeyondItsBuffers) {
  Bytes pixels(3 * 700 * 500);
  for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<std::uint8_t>((i * i) >> 7);
  const Bytes bytes = idx_images(3, 700, 500, pixels);
  EXPECT_EQ(read_idx_images(write(bytes)).pixels, pixels);
  EXPECT_EQ(read_idx_images(write(gzip(bytes))).pixels, pixels);
}

TEST_F(IdxFile, RefusesWhatIsMissingOrNoFile) {
  expect_error<DataError>([&] { read_idx_images(folder_.path() / "gone"); }, {"gone", "No such file"});
  expect_error<DataError>([&] { read_idx_images(folder_.path()); }, {folder_.path().string()});
  const auto pipe = folder_.path() / "pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  expect_error<DataError>([&] { read_idx_images(pipe); }, {"pipe"});
}

TEST_F(IdxFile, RefusesTheWrongKind) {
  expect_bad_images(idx_labels({1, 2}), {"0x00000801", "0x00000803", "images"});
  expect_error<DataError>([&] { read_idx_labels(write(images_)); }, {"0x00000803", "0x00000801", "labels"});
  expect_bad_images(Bytes(100, 'x'), {"0x78787878"});
  expect_error<DataError>([&] { read_idx_images(write(images_, "plain.gz")); }, {"plain.gz", "not gzip"});
}

TEST_F(IdxFile, RefusesEveryTruncation) {
  for (std::size_t length = 0; length < images_.size(); ++length) {
    expect_bad_images(Bytes(images_.begin(), images_.begin() + static_cast<std::ptrdiff_t>(length)),
                      {"cut short"});
  }
  const Bytes packed = gzip(images_);
  for (std::size_t length = 2; length < packed.size(); ++length) {
    expect_bad_images(Bytes(packed.begin(), packed.begin() + static_cast<std::ptrdiff_t>(length)),
                      {"ends early"});
  }
}

TEST_F(IdxFile, NeverServesWrongBytesFromDamagedGzip) {
  // Bytes 4 to 9 of gzip's header (time, flags, system) are covered by no checksum, and do not change the
  // content.
  const Bytes packed = gzip(images_);
  int refused = 0;
  for (std::size_t position = 0; position < packed.size(); ++position) {
    for (int bit = 0; bit < 8; ++bit) {
      Bytes damaged = packed;
      damaged[position] ^= static_cast<std::uint8_t>(1 << bit);
      try {
        EXPECT_EQ(read_idx_images(write(damaged)).pixels, pixels_) << "byte " << position << " bit " << bit;
      } catch (const DataError&) {
        ++refused;
      }
    }
  }
  EXPECT_GE(refused, static_cast<int>(packed.size() - 7) * 8);
  Bytes wrong_checksum = packed;
  wrong_checksum[packed.size() - 8] ^= 1;
  expect_bad_images(wrong_checksum, {"damaged", "incorrect data check"});
}

TEST_F(IdxFile, RefusesWhatFollowsTheEnd) {
  Bytes longer = images_;
  longer.push_back(0);
  expect_bad_images(longer, {"goes on after the last sample"});
  expect_bad_images(gzip(longer), {"goes on after the last sample"});
  Bytes trailed = gzip(images_);
  trailed.push_back(0);
  expect_bad_images(trailed, {"goes on after the end of its gzip data"});
}

TEST_F(IdxFile, RefusesSizesThatCannotBe) {
  expect_bad_images(idx_images(0, 28, 28, {}), {"no samples"});
  expect_error<DataError>([&] { read_idx_labels(write(idx_labels({}))); }, {"no samples"});
  expect_bad_images(idx_images(1, 0, 28, {}), {"without pixels"});
  expect_bad_images(idx_images(0xffffffff, 0xffffffff, 0xffffffff, {}), {"4 GiB"});
  expect_bad_images(idx_images(0x10000, 0x10000, 0x10000, {}), {"4 GiB"});  // 2^48: wraps to 0 in 32 bits
  // 4 GiB out of a few bytes: refused before memory is taken.
  expect_bad_images(idx_images(0x10000, 0x100, 0x100, {}), {"cut short", "4294967296"});
  expect_bad_images(gzip(idx_images(0x10000, 0x100, 0x100, {})), {"cut short", "4294967296"});
}

}  // namespace
}  // namespace lockstep

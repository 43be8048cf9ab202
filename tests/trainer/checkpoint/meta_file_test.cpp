#include "trainer/checkpoint/meta_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/temporary_folder.h"

namespace lockstep {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

// A meta.json with these fields and the checksum that belongs to them; `fields` is compact JSON with sorted
// keys.
std::string with_checksum(const std::string& fields) {
  return fields.substr(0, fields.size() - 1) + R"(,"meta_sha256":")" + sha256_of(fields) + "\"}";
}

class MetaFile : public testing::Test {
 protected:
  CheckpointMeta read(const std::string& text) const {
    write_text(path_, text);
    return read_meta_file(path_);
  }
  TemporaryFolder folder_;
  std::filesystem::path path_ = folder_.path() / "meta.json";
};

TEST_F(MetaFile, ComesBack) {
  const CheckpointMeta meta{1200, {{"model.safetensors", {17, std::string(64, 'a')}}}};
  write_meta_file(path_, meta);
  const CheckpointMeta back = read_meta_file(path_);
  EXPECT_EQ(back.step, 1200);
  EXPECT_EQ(back.files, meta.files);
}

TEST_F(MetaFile, IsDocumented) {  // docs/checkpoints.md tells how to compute the checksum
  const CheckpointMeta meta = read(with_checksum(R"({"files":{},"format_version":1,"step":3})"));
  EXPECT_EQ(meta.step, 3);
}

TEST_F(MetaFile, OfANewerFormatIsTold) {
  EXPECT_THAT([&] { read(with_checksum(R"({"anything":"else","format_version":2})")); },
              ThrowsMessage<NewerFormatError>(HasSubstr("format 2, saved by a newer Lockstep")));
}

TEST_F(MetaFile, RefusesDamage) {
  EXPECT_THAT([&] { read_meta_file(path_); }, ThrowsMessage<DataError>(HasSubstr("No such file")));
  EXPECT_THAT([&] { read(""); }, ThrowsMessage<DataError>(HasSubstr("no JSON object")));
  EXPECT_THAT([&] { read("[]"); }, ThrowsMessage<DataError>(HasSubstr("no JSON object")));
  EXPECT_THAT([&] { read("{}"); }, ThrowsMessage<DataError>(HasSubstr("its checksum is wrong")));
  EXPECT_THAT([&] { read(with_checksum(R"({"files":{},"step":3})")); },
              ThrowsMessage<DataError>(HasSubstr("it lacks")));
  EXPECT_THAT([&] { read(with_checksum(R"({"files":{"x":1},"format_version":1,"step":3})")); },
              ThrowsMessage<DataError>(HasSubstr("it lacks")));
  EXPECT_THAT([&] { read(with_checksum(R"({"files":{},"format_version":1,"step":"3"})")); },
              ThrowsMessage<DataError>(HasSubstr("it lacks")));
  EXPECT_THAT([&] { read(std::string(50000, '[')); },
              ThrowsMessage<DataError>(HasSubstr("nests too deeply")));
  EXPECT_THAT([&] { read(std::string(2 << 20, ' ')); }, ThrowsMessage<DataError>(HasSubstr("far too big")));
}

TEST_F(MetaFile, NoticesFlippedBits) {
  write_meta_file(path_, {7, {{"model.safetensors", {17, std::string(64, 'a')}}}});
  const std::string text = read_text(path_);
  for (std::size_t bit = 0; bit < (text.size() - 1) * 8; bit += 7) {  // the last byte is the newline
    std::string flipped = text;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    EXPECT_THROW(read(flipped), DataError) << bit;
  }
}

}  // namespace
}  // namespace lockstep

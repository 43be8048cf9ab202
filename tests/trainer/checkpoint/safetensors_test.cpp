// Safetensors files: to Python and back, and what a hostile or damaged one may not do.
#include "trainer/checkpoint/safetensors.h"

#include <ATen/ops/ones.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

#include "sampler/data_error.h"
#include "tests/reference/reference_file.h"
#include "tests/temporary_folder.h"
#include "tests/trainer/checkpoint/checkpoint_content.h"

namespace lockstep {
namespace {

using testing::HasSubstr;

std::string with_length(const std::string& header) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes += static_cast<char>(header.size() >> (8 * i) & 0xff);
  return bytes + header;
}

// The message with which the content is refused; "accepted" if it is not.
std::string refusal(const std::string& content) {
  const TemporaryFolder folder;
  write_text(folder.path() / "x.safetensors", content);
  try {
    read_safetensors(folder.path() / "x.safetensors");
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), HasSubstr("x.safetensors"));
    EXPECT_THAT(error.what(), testing::Not(HasSubstr("\n")));
    return error.what();
  }
  return "accepted";
}

TEST(Safetensors, AreReadAsPythonWroteThem) {
  const auto read = read_reference("python.safetensors");
  const NamedTensors expected = content_tensors();
  EXPECT_EQ(read.size(), expected.size());
  for (const auto& [name, tensor] : expected) EXPECT_TRUE(same_bits(read.at(name), tensor)) << name;
}

TEST(Safetensors, AreWrittenForPython) {  // read by checkpoint_formats_test.read_by_python
  std::filesystem::remove(reference_path("cpp.safetensors"));
  write_safetensors(reference_path("cpp.safetensors"), content_tensors());
}

TEST(Safetensors, ComeBackInOrderWithMemoryOfTheirOwn) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "model.safetensors";
  NamedTensors tensors = content_tensors();
  tensors.emplace_back("transposed", at::arange(6, at::kFloat).reshape({2, 3}).t());
  tensors.emplace_back("trained", at::ones({2}).requires_grad_());
  const FileDigest digest = write_safetensors(path, tensors);
  EXPECT_EQ(digest, digest_of_file(path));

  const NamedTensors read = read_safetensors(path);
  ASSERT_EQ(read.size(), tensors.size());
  for (std::size_t i = 0; i < read.size(); ++i) {
    EXPECT_EQ(read[i].first, tensors[i].first);
    EXPECT_TRUE(same_bits(read[i].second, tensors[i].second)) << read[i].first;
    EXPECT_FALSE(read[i].second.requires_grad());
  }
  EXPECT_THROW(write_safetensors(path, tensors), DataError) << "an existing file must not be overwritten";
}

TEST(Safetensors, AreAlignedWithinTheFile) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "model.safetensors";
  write_safetensors(path, {{"a", at::zeros({3}, at::kByte)}, {"b", at::ones({2}, at::kDouble)}});
  const std::string bytes = read_text(path);
  std::uint64_t header_size = 0;
  std::memcpy(&header_size, bytes.data(), 8);
  EXPECT_EQ(header_size % 8, 0U);
  double first = 0;
  std::memcpy(&first, bytes.data() + 8 + header_size, 8);
  EXPECT_EQ(first, 1.0) << "the widest dtype comes first";
}

TEST(Safetensors, HoldNothingToo) {
  const TemporaryFolder folder;
  write_safetensors(folder.path() / "x", {});
  EXPECT_TRUE(read_safetensors(folder.path() / "x").empty());
}

TEST(Safetensors, RefuseToBeWrittenWrong) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "x";
  EXPECT_THROW(write_safetensors(path, {{"a", at::ones({1})}, {"a", at::ones({1})}}), std::invalid_argument);
  EXPECT_THROW(write_safetensors(path, {{"__metadata__", at::ones({1})}}), std::invalid_argument);
  EXPECT_THROW(write_safetensors(path, {{"a", at::ones({1}, at::kComplexFloat)}}), std::invalid_argument);
  EXPECT_THROW(write_safetensors(folder.path() / "missing" / "x", {}), DataError);
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(Safetensors, RefuseHostileHeaders) {
  const std::vector<std::pair<std::string, std::string>> table{
      {"", "fewer than a header's length"},
      {"\x01\x02", "fewer than a header's length"},
      {std::string(8, '\xff'), "its header claims 18446744073709551615 bytes in a file of 8"},
      {std::string("\x10\0\0\0\0\0\0\0{}", 10), "its header claims 16 bytes in a file of 10"},
      {with_length(""), "no JSON object"},
      {with_length("[]"), "no JSON object"},
      {with_length(" {}"), "no JSON object"},
      {with_length("{"), "no JSON"},
      {with_length("{}x"), "no JSON"},
      {with_length(R"({"a":1})"), "at 'a': a number where none belongs"},
      {with_length(R"({"a":null})"), "null where a value belongs"},
      {with_length(R"({"a":[]})"), "a list where none belongs"},
      {with_length(R"({"a":{}})"), "is missing"},
      {with_length(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"evil":1}})") + "x",
       "unknown field 'evil'"},
      {with_length(R"({"a":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}})") + "x",
       "is repeated"},
      {with_length(R"({"a":{"dtype":1,"shape":[1],"data_offsets":[0,1]}})") + "x",
       "a number where none belongs"},
      {with_length(R"({"a":{"dtype":"U8","shape":"x","data_offsets":[0,1]}})") + "x",
       "a text where none belongs"},
      {with_length(R"({"a":{"dtype":"U8","shape":[[1]],"data_offsets":[0,1]}})") + "x",
       "a list where none belongs"},
      {with_length(R"({"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}})") + "x", "-1 is negative"},
      {with_length(R"({"a":{"dtype":"U8","shape":[1.5],"data_offsets":[0,1]}})") + "x", "no whole number"},
      {with_length(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0]}})") + "x", "must be two numbers"},
      {with_length(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1,1]}})") + "x",
       "must be two numbers"},
      {with_length(R"({"a":{"dtype":"U8","shape":[9223372036854775808],"data_offsets":[0,1]}})") + "x",
       "beyond 2^63"},
      {with_length(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                   R"("a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})") +
           "xy",
       "at 'a': it is given twice"},
      {with_length(R"({"a":{"dtype":"Q9","shape":[1],"data_offsets":[0,1]}})") + "x", "of dtype 'Q9'"},
      {with_length(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,1]}})") + "x",
       "not what its dtype and shape"},
      {with_length(R"({"a":{"dtype":"U8","shape":[2,4611686018427387904,8],"data_offsets":[0,0]}})"),
       "not what its dtype and shape"},  // 2^66, which is 0 in 64 bits
      {with_length(R"({"a":{"dtype":"U8","shape":[0,4611686018427387904,8],"data_offsets":[0,0]}})"),
       "not what its dtype and shape"},  // empty, but its strides overflow
      {with_length(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})"), "describes 1 bytes"},
      {with_length(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})") + "xy",
       "but the file holds 2"},
      {with_length(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})") + "xy",
       "lies at bytes 1 to 2"},
      {with_length(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[1,0]}})") + "x", "lies at bytes 1 to 0"},
      {with_length(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
                   R"("b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})") +
           "xyz",
       "lies at bytes 1 to 3"},  // overlap
      {with_length(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                   R"("b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}})") +
           "xyz",
       "lies at bytes 2 to 3"},  // hole
      {with_length(R"({"a":{"dtype":"BOOL","shape":[2],"data_offsets":[0,2]}})") + std::string("\x01\x02"),
       "other bytes than 0 and 1"},
      {with_length(R"({"__metadata__":{"a":1}})"), "a number where none belongs"},
      {with_length(R"({"__metadata__":{"a":{}}})"), "an object where none belongs"},
      {with_length(R"({"__metadata__":{},"__metadata__":{}})"), "given twice"},
      {with_length("{\"a\":" + std::string(100000, '[')), "a list where none belongs"},
      {with_length(R"({"a":{"shape":)" + std::string(100000, '{')), "an object where none belongs"},
  };
  for (const auto& [content, expected] : table) {
    EXPECT_THAT(refusal(content), HasSubstr(expected)) << content.substr(0, 120);
  }
}

TEST(Safetensors, AcceptWhatIsUnusualButRight) {
  EXPECT_EQ(refusal(with_length("{}      ")), "accepted");
  EXPECT_EQ(refusal(with_length(R"({"b":{"data_offsets":[1,2],"shape":[1,1],"dtype":"I8"},)"
                                R"("e":{"dtype":"F64","shape":[3,0],"data_offsets":[1,1]},)"
                                R"("../a":{"dtype":"BOOL","shape":[],"data_offsets":[0,1]}})") +
                    std::string("\x01z")),
            "accepted");
}

TEST(Safetensors, RefuseEveryTruncation) {
  const TemporaryFolder folder;
  write_safetensors(folder.path() / "x", {{"weight", at::ones({2, 3})}, {"bias", at::ones({3})}});
  const std::string content = read_text(folder.path() / "x");
  for (std::size_t size = 0; size < content.size(); ++size)
    EXPECT_NE(refusal(content.substr(0, size)), "accepted");
  EXPECT_NE(refusal(content + "x"), "accepted");
  EXPECT_EQ(refusal(content), "accepted");
}

TEST(Safetensors, SurviveFlippedBits) {  // the checksum in meta.json tells; here nothing may crash
  const TemporaryFolder folder;
  write_safetensors(folder.path() / "x", {{"weight", at::ones({2})}, {"flag", at::ones({3}, at::kBool)}});
  const std::string content = read_text(folder.path() / "x");
  for (std::size_t bit = 0; bit < content.size() * 8; bit += 7) {
    std::string flipped = content;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    refusal(flipped);
  }
}

TEST(Safetensors, NameWhatCannotBeOpened) {
  const TemporaryFolder folder;
  EXPECT_THROW(read_safetensors(folder.path() / "missing"), DataError);
  EXPECT_THROW(read_safetensors(folder.path()), DataError);  // a folder
}

}  // namespace
}  // namespace lockstep

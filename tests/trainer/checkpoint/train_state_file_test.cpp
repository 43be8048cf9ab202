// train_state.pt: to Python and back, and damaged.
#include "trainer/checkpoint/train_state_file.h"

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

void expect_equal(const c10::IValue& value, const c10::IValue& expected, const std::string& place) {
  SCOPED_TRACE(place);
  if (expected.isTensor()) {
    ASSERT_TRUE(value.isTensor());
    EXPECT_TRUE(same_bits(value.toTensor(), expected.toTensor()));
  } else if (expected.isGenericDict()) {
    ASSERT_TRUE(value.isGenericDict());
    const auto dict = value.toGenericDict();
    EXPECT_EQ(dict.size(), expected.toGenericDict().size());
    for (const auto& item : expected.toGenericDict()) {
      const std::string key =
          item.key().isInt() ? std::to_string(item.key().toInt()) : item.key().toStringRef();
      ASSERT_TRUE(dict.contains(item.key())) << key;
      expect_equal(dict.at(item.key()), item.value(), place + "/" + key);
    }
  } else if (expected.isList()) {
    ASSERT_TRUE(value.isList());
    const auto list = value.toListRef(), expected_list = expected.toListRef();
    ASSERT_EQ(list.size(), expected_list.size());
    for (std::size_t i = 0; i < list.size(); ++i) expect_equal(list[i], expected_list[i], place + "/list");
  } else {
    EXPECT_EQ(value, expected);
  }
}

TEST(TrainStateFile, IsReadAsPythonWroteIt) {
  expect_equal(read_train_state(reference_path("python_state.pt")), content_state(), "state");
}

TEST(TrainStateFile, IsWrittenForPython) {  // read by checkpoint_formats_test.read_by_python
  std::filesystem::remove(reference_path("cpp_state.pt"));
  write_train_state(reference_path("cpp_state.pt"), content_state());
}

TEST(TrainStateFile, ComesBack) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "train_state.pt";
  const FileDigest digest = write_train_state(path, content_state());
  EXPECT_EQ(digest, digest_of_file(path));
  expect_equal(read_train_state(path), content_state(), "state");
  EXPECT_THROW(write_train_state(path, content_state()), DataError)
      << "an existing file must not be overwritten";
}

TEST(TrainStateFile, KeepsTensorsApartThatSharedMemory) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "train_state.pt";
  AnyDict state = any_dict();
  const at::Tensor shared = at::zeros({4});
  state.insert("a", shared);
  state.insert("b", shared.slice(0, 1, 3));
  write_train_state(path, state);
  const auto read = read_train_state(path).toGenericDict();
  read.at("a").toTensor().fill_(1);
  EXPECT_TRUE(same_bits(read.at("b").toTensor(), at::zeros({2})));
}

TEST(TrainStateFile, IsTheSameBytesForTheSameState) {
  const TemporaryFolder folder;
  EXPECT_EQ(write_train_state(folder.path() / "a", content_state()),
            write_train_state(folder.path() / "b", content_state()));
}

TEST(TrainStateFile, RefusesWhatPythonWouldNotOpen) {
  const TemporaryFolder folder;
  AnyDict inner = any_dict();
  inner.insert("device", at::Device(at::kCPU));
  AnyDict state = any_dict();
  state.insert("inner", inner);
  EXPECT_THAT(
      [&] { write_train_state(folder.path() / "x", state); },
      testing::ThrowsMessage<std::invalid_argument>(HasSubstr("holds a Device at state/inner/device")));
  AnyDict undefined = any_dict();
  undefined.insert("t", at::Tensor());
  EXPECT_THROW(write_train_state(folder.path() / "x", undefined), std::invalid_argument);
  AnyDict wrong_key = any_dict();
  wrong_key.insert(1.5, 1);
  EXPECT_THROW(write_train_state(folder.path() / "x", wrong_key), std::invalid_argument);
  AnyList deep(c10::AnyType::get());
  for (int i = 0; i < 100; ++i) {
    AnyList outer(c10::AnyType::get());
    outer.push_back(deep);
    deep = outer;
  }
  EXPECT_THROW(write_train_state(folder.path() / "x", deep), std::invalid_argument);
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "x"));
}

AnyDict small_state() {
  AnyDict state = any_dict();
  state.insert("step", 12);
  state.insert("rng", at::zeros({16}, at::kByte));
  state.insert("mask", at::zeros({3}, at::kBool));
  return state;
}

// True if the content loads; DataError is the only way in which it may not.
bool loads(const std::filesystem::path& path, const std::string& content) {
  write_text(path, content);
  try {
    read_train_state(path);
    return true;
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), HasSubstr(path.string()));
    EXPECT_THAT(error.what(), testing::Not(HasSubstr("\n")));
    return false;
  }
}

TEST(TrainStateFile, RefusesTruncation) {
  const TemporaryFolder folder;
  write_train_state(folder.path() / "good", small_state());
  const std::string content = read_text(folder.path() / "good");
  for (std::size_t size = 0; size < content.size(); size += 7) {
    EXPECT_FALSE(loads(folder.path() / "x", content.substr(0, size))) << size;
  }
  EXPECT_TRUE(loads(folder.path() / "x", content));
}

TEST(TrainStateFile, SurvivesFlippedBits) {  // the checksum in meta.json tells; here nothing may crash
  const TemporaryFolder folder;
  write_train_state(folder.path() / "good", small_state());
  const std::string content = read_text(folder.path() / "good");
  int refused = 0;
  for (std::size_t byte = 0; byte < content.size(); byte += 3) {
    std::string flipped = content;
    flipped[byte] = static_cast<char>(flipped[byte] ^ (1 << byte % 8));
    refused += loads(folder.path() / "x", flipped) ? 0 : 1;
  }
  EXPECT_GT(refused, 30);
}

TEST(TrainStateFile, NamesWhatCannotBeOpened) {
  const TemporaryFolder folder;
  EXPECT_FALSE(loads(folder.path() / "text", "no archive"));
  EXPECT_THROW(read_train_state(folder.path() / "missing"), DataError);
  EXPECT_THROW(read_train_state(folder.path()), DataError);  // a folder
}

}  // namespace
}  // namespace lockstep

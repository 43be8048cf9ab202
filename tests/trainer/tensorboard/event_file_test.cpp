#include "trainer/tensorboard/event_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <protozero/pbf_reader.hpp>

#include "tests/temporary_folder.h"

namespace lockstep {
namespace {

using ::testing::HasSubstr;

// What event.proto says, read back by protozero's reader.
struct ReadEvent {
  double wall_time = 0.0;
  std::int64_t step = 0;
  std::string file_version;
  int session_status = 0;
  std::map<std::string, float> values;
};

std::uint64_t little_endian(const std::string& bytes, std::size_t at, std::size_t size) {
  std::uint64_t number = 0;
  for (std::size_t i = 0; i < size; ++i)
    number |= static_cast<std::uint64_t>(static_cast<unsigned char>(bytes.at(at + i))) << (8 * i);
  return number;
}

// tensorflow/core/lib/hash/crc32c.h: Mask() and Unmask().
std::uint32_t unmasked(std::uint64_t masked) {
  const auto rotated = static_cast<std::uint32_t>(masked) - 0xa282ead8U;
  return (rotated >> 17) | (rotated << 15);
}

ReadEvent parse(const std::string& bytes) {
  ReadEvent event;
  protozero::pbf_reader reader(bytes);
  while (reader.next()) {
    switch (reader.tag()) {
      case 1:
        event.wall_time = reader.get_double();
        break;
      case 2:
        event.step = reader.get_int64();
        break;
      case 3:
        event.file_version = reader.get_string();
        break;
      case 5:
        for (protozero::pbf_reader summary = reader.get_message(); summary.next(1);) {
          protozero::pbf_reader value = summary.get_message();
          std::string tag;
          while (value.next()) {
            if (value.tag() == 1) tag = value.get_string();
            if (value.tag() == 2) event.values[tag] = value.get_float();
          }
        }
        break;
      case 7:
        for (protozero::pbf_reader log = reader.get_message(); log.next(1);)
          event.session_status = log.get_enum();
        break;
      default:
        ADD_FAILURE() << "field " << reader.tag();
        reader.skip();
    }
  }
  return event;
}

std::vector<ReadEvent> read_events(const std::filesystem::path& folder) {
  std::vector<ReadEvent> events;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string bytes = read_text(entry.path());
    for (std::size_t at = 0; at < bytes.size();) {
      const std::uint64_t length = little_endian(bytes, at, 8);
      EXPECT_EQ(unmasked(little_endian(bytes, at + 8, 4)), crc32c(bytes.substr(at, 8)));
      const std::string event = bytes.substr(at + 12, length);
      EXPECT_EQ(unmasked(little_endian(bytes, at + 12 + length, 4)), crc32c(event));
      events.push_back(parse(event));
      at += 16 + length;
    }
  }
  return events;
}

// RFC 3720, appendix B.4.
TEST(EventFile, Crc32cIsCastagnolis) {
  EXPECT_EQ(crc32c("123456789"), 0xe3069283U);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aaU);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43U);
  EXPECT_EQ(crc32c(""), 0U);
}

TEST(EventFile, HoldsVersionStartAndPoints) {
  const TemporaryFolder folder;
  const auto scalars = folder.path() / "tensorboard";
  std::vector<std::string> warnings;
  EventFile file(scalars, 15, [&](const std::string& line) { warnings.push_back(line); });
  file.write(20, {{"loss/train", 0.5}, {"lr", 1e-3}});
  const std::vector<ReadEvent> events = read_events(scalars);  // written at once, without closing
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[0].file_version, "brain.Event:2");  // what TensorBoard knows a file by
  EXPECT_EQ(events[1].step, 16);                       // points from there on are those of this file
  EXPECT_EQ(events[1].session_status, 1);              // SessionLog.START
  EXPECT_EQ(events[2].step, 20);
  EXPECT_GT(events[2].wall_time, 1.6e9);
  EXPECT_EQ(events[2].values, (std::map<std::string, float>{{"loss/train", 0.5F}, {"lr", 1e-3F}}));
  EXPECT_TRUE(warnings.empty());
  EXPECT_THAT(std::filesystem::directory_iterator(scalars)->path().filename().string(),
              ::testing::StartsWith("events.out.tfevents."));
}

TEST(EventFile, WarnsOnceWhereItCannotBeWritten) {
  std::vector<std::string> warnings;
  EventFile file("/proc/no/such/folder", 0, [&](const std::string& line) { warnings.push_back(line); });
  file.write(1, {{"loss/train", 0.5}});
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_THAT(warnings[0], HasSubstr("training goes on"));
}

}  // namespace
}  // namespace lockstep

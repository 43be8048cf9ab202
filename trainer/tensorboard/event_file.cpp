// The records are TFRecords (tensorflow/core/lib/io/record_writer.h): length, its checksum, an Event in
// protocol buffers' format (tensorboard/compat/proto/event.proto), its checksum.
#include "trainer/tensorboard/event_file.h"

#include <unistd.h>

#include <array>
#include <bit>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <protozero/pbf_writer.hpp>

namespace lockstep {
namespace {

// Numbers of the fields in event.proto and summary.proto.
enum Event : protozero::pbf_tag_type {
  kWallTime = 1,
  kStep = 2,
  kFileVersion = 3,
  kSummary = 5,
  kSessionLog = 7
};
enum SessionLog : protozero::pbf_tag_type { kStatus = 1 };
enum Summary : protozero::pbf_tag_type { kValue = 1 };
enum Value : protozero::pbf_tag_type { kTag = 1, kSimpleValue = 2 };
constexpr std::int32_t kSessionStart = 1;

constexpr std::array<std::uint32_t, 256> make_crc_table() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t byte = 0; byte < table.size(); ++byte) {
    std::uint32_t rest = byte;
    for (int bit = 0; bit < 8; ++bit) rest = (rest >> 1) ^ ((rest & 1) != 0 ? 0x82f63b78U : 0U);
    table[byte] = rest;
  }
  return table;
}

// A checksum of data that holds checksums would be weak; TFRecord's remedy.
std::uint32_t masked_crc(std::string_view bytes) {
  return std::rotr(crc32c(bytes), 15) + 0xa282ead8U;
}

template <class Number>
std::string little_endian(Number number) {
  std::string bytes;
  for (std::size_t i = 0; i < sizeof number; ++i) bytes += static_cast<char>((number >> (8 * i)) & 0xff);
  return bytes;
}

double now_unix_s() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::string file_name() {
  char host[256] = "localhost";
  gethostname(host, sizeof host - 1);
  return "events.out.tfevents." + std::to_string(static_cast<std::int64_t>(now_unix_s())) + "." + host + "." +
         std::to_string(getpid()) + ".0";
}

}  // namespace

std::uint32_t crc32c(std::string_view bytes) {
  static constexpr std::array<std::uint32_t, 256> kTable = make_crc_table();
  std::uint32_t crc = ~0U;
  for (const char byte : bytes) crc = (crc >> 8) ^ kTable[(crc ^ static_cast<unsigned char>(byte)) & 0xff];
  return ~crc;
}

EventFile::EventFile(const std::filesystem::path& folder, std::int64_t first_step, Warn warn)
    : path_(folder / file_name()), warn_(std::move(warn)) {
  std::error_code ignored;  // a folder that cannot be made shows in the first write
  std::filesystem::create_directories(folder, ignored);
  errno = 0;
  file_.open(path_, std::ios::binary);
  std::string event;
  protozero::pbf_writer version(event);
  version.add_double(kWallTime, now_unix_s());
  version.add_string(kFileVersion, "brain.Event:2");
  write_record(event);
  event.clear();
  protozero::pbf_writer start(event);
  start.add_double(kWallTime, now_unix_s());
  start.add_int64(kStep, first_step + 1);
  protozero::pbf_writer(start, kSessionLog).add_enum(kStatus, kSessionStart);
  write_record(event);
}

void EventFile::write(std::int64_t step, const std::vector<std::pair<std::string, double>>& values) {
  std::string event;
  protozero::pbf_writer writer(event);
  writer.add_double(kWallTime, now_unix_s());
  writer.add_int64(kStep, step);
  {
    protozero::pbf_writer summary(writer, kSummary);
    for (const auto& [tag, number] : values) {
      protozero::pbf_writer value(summary, kValue);
      value.add_string(kTag, tag);
      value.add_float(kSimpleValue, static_cast<float>(number));
    }
  }
  write_record(event);
}

void EventFile::write_record(std::string_view event) {
  const std::string length = little_endian(static_cast<std::uint64_t>(event.size()));
  file_ << length << little_endian(masked_crc(length)) << event << little_endian(masked_crc(event))
        << std::flush;
  if (file_ || warned_) return;
  warned_ = true;
  warn_(path_.string() + " cannot be written (" + std::strerror(errno) + "); training goes on without it");
}

}  // namespace lockstep

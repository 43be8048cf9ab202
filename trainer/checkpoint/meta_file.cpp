#include "trainer/checkpoint/meta_file.h"

#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

namespace lockstep {
namespace {

constexpr std::uint64_t kMaxMetaBytes = 1 << 20;
constexpr const char* kIncomplete = "it lacks format_version, step or files, or one is of another kind";
constexpr const char* kChecksum = "meta_sha256";  // of the compact JSON of all other fields

std::string read_text(const std::filesystem::path& path) {
  std::error_code error;
  const auto size_bytes = std::filesystem::file_size(path, error);
  if (error) throw DataError("it cannot be read: " + error.message());
  if (size_bytes > kMaxMetaBytes) throw DataError("it is far too big");
  std::ifstream file(path, std::ios::binary);
  std::string text(size_bytes, '\0');
  if (!file.read(text.data(), static_cast<std::streamsize>(size_bytes))) throw DataError("it cannot be read");
  return text;
}

nlohmann::json parse_object(std::string_view text) {
  int depth = 0;
  const auto bounded = [&](int, nlohmann::json::parse_event_t event, nlohmann::json&) {
    using Event = nlohmann::json::parse_event_t;
    if (event == Event::object_start || event == Event::array_start) ++depth;
    if (event == Event::object_end || event == Event::array_end) --depth;
    if (depth > 8) throw DataError("it nests too deeply");
    return true;
  };
  nlohmann::json json = nlohmann::json::parse(text, bounded, /*allow_exceptions=*/false);
  if (!json.is_object()) throw DataError("it is no JSON object");
  return json;
}

// A number that is there but does not fit would come back as another one.
template <class Number>
Number whole_number(const nlohmann::json& value) {
  if (!value.is_number_unsigned() ||
      value.get<std::uint64_t>() > static_cast<std::uint64_t>(std::numeric_limits<Number>::max()))
    throw DataError(kIncomplete);
  return value.get<Number>();
}

CheckpointMeta checked(nlohmann::json json) {
  const nlohmann::json checksum = json.value(kChecksum, nlohmann::json());
  json.erase(kChecksum);
  // Not UTF-8 was refused by the parser, so that dump() does not throw.
  if (!checksum.is_string() || checksum.get_ref<const std::string&>() != sha256_of(json.dump())) {
    throw DataError("its checksum is wrong");
  }
  const auto version = whole_number<std::int64_t>(json.at("format_version"));
  if (version > kCheckpointFormatVersion) {
    throw NewerFormatError("it is of format " + std::to_string(version) +
                           ", saved by a newer Lockstep; this one reads " + "up to format " +
                           std::to_string(kCheckpointFormatVersion));
  }
  CheckpointMeta meta;
  meta.step = whole_number<std::int64_t>(json.at("step"));
  for (const auto& [name, file] : json.at("files").items()) {
    meta.files[name] = {whole_number<std::uint64_t>(file.at("size_bytes")),
                        file.at("sha256").get<std::string>()};
  }
  return meta;
}

}  // namespace

void write_meta_file(const std::filesystem::path& path, const CheckpointMeta& meta) {
  nlohmann::json json = {{"format_version", kCheckpointFormatVersion}, {"step", meta.step}};
  for (const auto& [name, digest] : meta.files) {
    json["files"][name] = {{"size_bytes", digest.size_bytes}, {"sha256", digest.sha256}};
  }
  json[kChecksum] = sha256_of(json.dump());
  DurableFileWriter file(path);
  file.write(json.dump(2) + "\n");
  file.finish();
}

CheckpointMeta parse_meta(std::string_view text) {
  try {
    return checked(parse_object(text));
  } catch (const nlohmann::json::exception&) {
    throw DataError(kIncomplete);
  }
}

CheckpointMeta read_meta_file(const std::filesystem::path& path) {
  try {
    return parse_meta(read_text(path));
  } catch (const NewerFormatError& error) {
    throw NewerFormatError(path.string() + ": " + error.what());
  } catch (const DataError& error) {
    throw DataError(path.string() + ": " + error.what());
  }
}

}  // namespace lockstep

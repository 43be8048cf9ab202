// The input as it is, and as the fields of a meta.json whose checksum is right.
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "tests/fuzz/harness.h"
#include "trainer/checkpoint/meta_file.h"

namespace {

void read(std::string_view text) {
  try {
    const auto meta = lockstep::parse_meta(text);
    if (meta.step < 0) __builtin_trap();
  } catch (const lockstep::DataError&) {
    return;
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  read(text);
  if (size > 4096) return 0;
  for (std::size_t depth = 0, i = 0; i < size; ++i) {
    depth += text[i] == '[' || text[i] == '{' ? 1 : 0;
    if (depth > 100) return 0;  // that is refused before the checksum is looked at
  }
  auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return 0;
  json.erase("meta_sha256");
  json["meta_sha256"] = lockstep::sha256_of(json.dump());
  read(json.dump());
  return 0;
}

// The input's first byte says how many bytes of data follow the header, which is the rest.
#include <string_view>

#include "sampler/data_error.h"
#include "tests/fuzz/harness.h"
#include "trainer/checkpoint/safetensors_header.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  try {
    const std::string_view header(reinterpret_cast<const char*>(data) + 1, size - 1);
    const auto entries = lockstep::parse_safetensors_header(header);
    lockstep::check_safetensors_layout(entries, data[0]);
    // What passed covers the data exactly.
    std::uint64_t covered = 0;
    for (const auto& entry : entries) covered += entry.end - entry.begin;
    if (covered != data[0]) __builtin_trap();
  } catch (const lockstep::DataError&) {
    return 0;
  }
  return 0;
}

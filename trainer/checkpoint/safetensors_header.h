// The header of a safetensors file as it comes from outside, parsed and checked. Names no torch.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace lockstep {

// One tensor as the header describes it; [begin, end) are byte offsets behind the header.
struct SafetensorsEntry {
  std::string name;
  std::string dtype;
  std::vector<std::int64_t> shape;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

// Parses the header's JSON in its order and leaves "__metadata__" out. Throws DataError saying what is wrong:
// no JSON, a field that is missing, unknown, repeated or of another kind, a name given twice, nesting deeper
// than the format's.
std::vector<SafetensorsEntry> parse_safetensors_header(std::string_view json);

// Checks that the entries cover [0, data_size_bytes) without gap or overlap. Throws DataError.
void check_safetensors_layout(const std::vector<SafetensorsEntry>& entries, std::uint64_t data_size_bytes);

}  // namespace lockstep

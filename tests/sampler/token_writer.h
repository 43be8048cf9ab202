// Makes small token files for tests.
#pragma once

#include <cstring>

#include "tests/sampler/idx_writer.h"

namespace lockstep::testing {

template <class Number>
Bytes little_endian(const std::vector<std::int64_t>& numbers) {
  Bytes bytes;
  for (const std::int64_t wide : numbers) {
    for (std::size_t i = 0; i < sizeof(Number); ++i)
      bytes.push_back(static_cast<std::uint8_t>(wide >> (8 * i)));
  }
  return bytes;
}

// A file as llm.c writes it: 256 int32, then the tokens.
template <class Number>
Bytes llmc_file(std::int64_t magic, std::int64_t version, std::int64_t announced,
                const std::vector<std::int64_t>& tokens) {
  std::vector<std::int64_t> header(256);
  header[0] = magic;
  header[1] = version;
  header[2] = announced;
  Bytes bytes = little_endian<std::int32_t>(header);
  const Bytes content = little_endian<Number>(tokens);
  bytes.insert(bytes.end(), content.begin(), content.end());
  return bytes;
}

}  // namespace lockstep::testing

// What a harness defines: one input, taken by the code that reads such things from outside. It may refuse the
// input in the ways that its header names; any other exception, a crash, a hang or too much memory is a find.
#pragma once

#include <cstddef>
#include <cstdint>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

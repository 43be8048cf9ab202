// Copies of what a pickle uses twice. Not for use outside this folder.
#pragma once

#include <ATen/core/ivalue.h>

#include <cstdint>

namespace lockstep {

struct ContainerCopy {
  c10::IValue value;
  int depth = 0;  // of nesting; 0 for what holds nothing
};

// A copy in which dicts, lists and tuples are new and everything else is shared. Takes one off `budget` for
// each value and stops, with part of them, where it is used up. Recurses as deep as `value` nests.
ContainerCopy copy_containers(const c10::IValue& value, std::int64_t& budget);

}  // namespace lockstep

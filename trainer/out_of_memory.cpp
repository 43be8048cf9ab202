#include "trainer/out_of_memory.h"

#include <algorithm>

namespace lockstep {
namespace {

// The sentence of `text` that begins with `start`, without its full stop; empty if there is none.
std::string sentence(const std::string& text, const std::string& start) {
  const std::size_t begin = text.find(start);
  if (begin == std::string::npos) return {};
  const std::size_t end = std::min(text.find(". ", begin), text.find('\n', begin));
  std::string found = text.substr(begin, end == std::string::npos ? end : end - begin);
  if (found.ends_with('.')) found.pop_back();
  return found;
}

}  // namespace

std::string describe_out_of_memory(const std::string& libtorch_says) {
  std::string facts = sentence(libtorch_says, "Tried to allocate");
  if (!facts.empty()) facts.front() = 't';
  for (const char* start : {"GPU ", "Of the allocated memory"}) {
    const std::string fact = sentence(libtorch_says, start);
    if (!fact.empty()) facts += (facts.empty() ? "" : "; ") + fact;
  }
  return "out of GPU memory" + (facts.empty() ? "" : " (" + facts + ")") +
         "; lower --batch-size and raise --accumulate-grad-batches by the same factor, which leaves the "
         "update as it "
         "is, or take --precision bf16-mixed, or --shard-optimizer on";
}

}  // namespace lockstep

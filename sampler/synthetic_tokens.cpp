#include "sampler/synthetic_tokens.h"

#include <stdexcept>

#include "sampler/counter_random.h"

namespace lockstep {
namespace {

constexpr std::uint64_t kRun = 64;  // tokens
constexpr std::uint64_t kSteps = 3;
constexpr std::uint64_t kOneIn = 10;  // of which one token is random

}  // namespace

SyntheticTokens::SyntheticTokens(std::uint64_t seed, Split split, std::int64_t size,
                                 std::int64_t vocabulary_size)
    : seed_(seed), split_(static_cast<std::uint64_t>(split)), size_(size), vocabulary_size_(vocabulary_size) {
  if (size < 1 || vocabulary_size < 1) {
    throw std::invalid_argument("synthetic tokens: " + std::to_string(size) + " tokens of a vocabulary of " +
                                std::to_string(vocabulary_size) + "; there must be at least 1 of each");
  }
}

void SyntheticTokens::read(std::int64_t first, std::span<std::int64_t> to) const {
  const auto vocabulary = static_cast<std::uint64_t>(vocabulary_size_);
  const std::uint64_t noise = stream_key(seed_, kTokenNoiseStream + split_, 0);
  for (std::size_t i = 0; i < to.size(); ++i) {
    const std::uint64_t position = static_cast<std::uint64_t>(first) + i;
    const std::uint64_t run = stream_key(seed_, kTokenRunStream + split_, position / kRun);
    const std::uint64_t step = mix(run) % kSteps + 1;
    std::uint64_t token = (run % vocabulary + position % kRun * step) % vocabulary;
    const std::uint64_t random = mix(noise + position);
    if (random % kOneIn == 0) token = random / kOneIn % vocabulary;
    to[i] = static_cast<std::int64_t>(token);
  }
}

}  // namespace lockstep

// SyntheticTokens: a row of tokens made from a seed, for tests and benchmarks that must not depend on files.
#pragma once

#include "sampler/split.h"
#include "sampler/token_source.h"

namespace lockstep {

// Runs of 64 tokens, each of which counts up from a random token in steps of 1, 2 or 3 (modulo the
// vocabulary); one token in ten is replaced by a random one. So a model that learns to continue a run gets
// about nine of ten right. Every token is a function of (seed, split, position) alone. Immutable, so
// thread-safe.
class SyntheticTokens final : public TokenSource {
 public:
  // Throws std::invalid_argument unless there is at least one token and the vocabulary holds at least one.
  SyntheticTokens(std::uint64_t seed, Split split, std::int64_t size, std::int64_t vocabulary_size);

  std::int64_t size() const override { return size_; }
  std::int64_t vocabulary_size() const override { return vocabulary_size_; }
  void read(std::int64_t first, std::span<std::int64_t> to) const override;
  std::string name() const override { return "synthetic-tokens"; }

 private:
  std::uint64_t seed_;
  std::uint64_t split_;
  std::int64_t size_;
  std::int64_t vocabulary_size_;
};

}  // namespace lockstep

// TokenSource: one long row of tokens, and the part of it that a split may use.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace lockstep {

// Thread-safe.
class TokenSource {
 public:
  virtual ~TokenSource() = default;
  virtual std::int64_t size() const = 0;             // tokens
  virtual std::int64_t vocabulary_size() const = 0;  // tokens are 0 to vocabulary_size() - 1
  // Fills `to` with the tokens from `first` on; all of them lie in [0, size()). Throws DataError, naming file
  // and position, for a token beyond the vocabulary.
  virtual void read(std::int64_t first, std::span<std::int64_t> to) const = 0;
  // For messages: "input.txt".
  virtual std::string name() const = 0;
};

using TokenSourcePtr = std::shared_ptr<const TokenSource>;

// The `count` tokens of `source` from `first` on, which must be there.
class TokenSlice final : public TokenSource {
 public:
  TokenSlice(TokenSourcePtr source, std::int64_t first, std::int64_t count)
      : source_(std::move(source)), first_(first), count_(count) {}

  std::int64_t size() const override { return count_; }
  std::int64_t vocabulary_size() const override { return source_->vocabulary_size(); }
  void read(std::int64_t first, std::span<std::int64_t> to) const override {
    source_->read(first_ + first, to);
  }
  std::string name() const override { return source_->name(); }

 private:
  TokenSourcePtr source_;
  std::int64_t first_;
  std::int64_t count_;
};

}  // namespace lockstep

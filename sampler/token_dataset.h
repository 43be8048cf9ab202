// TokenDataset: sequences of tokens, each to be predicted from those before it.
#pragma once

#include "sampler/dataset.h"
#include "sampler/token_source.h"

namespace lockstep {

// Sample i of sequence length T: `data` row (T) holds the tokens [i T, i T + T) of the source, `target` row
// (T) those one place further, so that all tokens but the first are predicted once an epoch; what does not
// fill a sample at the end is left out. Immutable, so thread-safe.
class TokenDataset final : public Dataset {
 public:
  // `name` is for messages ("input.txt train"). Throws std::invalid_argument for a sequence length below 1,
  // DataError if the source has fewer than T + 1 tokens.
  TokenDataset(std::string name, TokenSourcePtr tokens, std::int64_t sequence_length);

  std::int64_t size() const override { return size_; }
  DatasetShape shape() const override;
  // `data` and `target` are (B, T) int64. Throws std::out_of_range for an index not in [0, size()), DataError
  // for a token beyond the vocabulary.
  Batch get_batch(std::span<const std::int64_t> indices) const override;
  std::string description() const override;

 private:
  std::string name_;
  TokenSourcePtr tokens_;
  std::int64_t sequence_length_;
  std::int64_t size_;
};

}  // namespace lockstep

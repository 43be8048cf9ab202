// MaskedTokenDataset: pairs of sentences with masked tokens, for BERT's two tasks (Devlin et al. 2018,
// section 3.1 and appendix A.2). docs/parity.md states the rule by which a sample is drawn.
#pragma once

#include "sampler/dataset.h"
#include "sampler/split.h"
#include "sampler/token_source.h"

namespace lockstep {

// Sample i of sequence length T is [CLS] A [SEP] B [SEP] with C = T - 3 tokens of the source: A is the first
// ceil(C/2) from i C on; B is those after A, or in half of the samples as many from elsewhere. 15 % of the C
// tokens (rounded, at least one) are to be predicted: of these 8 in 10 become [MASK], 1 in 10 a random
// token, and the rest stay. All draws are counter-based, from (seed, split, i): a sample is the same in every
// epoch, whoever reads it. Immutable, so thread-safe.
class MaskedTokenDataset final : public Dataset {
 public:
  // Throws std::invalid_argument for a sequence length below 5, DataError if the source has fewer than C
  // tokens.
  MaskedTokenDataset(std::string name, TokenSourcePtr tokens, std::int64_t sequence_length,
                     std::uint64_t seed, Split split);

  std::int64_t size() const override { return size_; }
  // The vocabulary of the source and the special tokens, which come after it. Only vocabularies of BERT's own
  // sizes (30522, 28996) hold them already: 101 is [CLS], 102 [SEP] and 103 [MASK].
  DatasetShape shape() const override;
  // `data` (B, 2, T) int64: the tokens, and 0 or 1 for the part (A or B) each belongs to. `target` (B, T + 1)
  // int64: the token to predict, or -100 for those that are not to be; and last whether B is from elsewhere
  // (1) or follows A (0). Throws as TokenDataset does.
  Batch get_batch(std::span<const std::int64_t> indices) const override;
  std::string description() const override;

 private:
  void write_sample(std::int64_t index, std::int64_t* data, std::int64_t* target) const;

  std::string name_;
  TokenSourcePtr tokens_;
  std::int64_t sequence_length_;
  std::uint64_t seed_;
  Split split_;
  std::int64_t size_;
  std::int64_t cls_, sep_, mask_;
};

}  // namespace lockstep

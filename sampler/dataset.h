// Dataset: numbered samples that can be fetched as a batch from any thread.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace lockstep {

// B samples, on the CPU. For pictures: `data` is (B, C, H, W) float32 and `target` is (B) int64. Sequences of
// tokens are int64: token_dataset.h and masked_token_dataset.h say how they are laid out.
struct Batch {
  at::Tensor data;
  at::Tensor target;
};

// What a model must know to adapt its first and last layer.
struct DatasetShape {
  std::vector<std::int64_t> sample_sizes;  // one sample of `data`, for example {1, 28, 28}
  std::int64_t num_classes = 0;            // 0: the samples are sequences of tokens
  std::int64_t sequence_length = 0;        // tokens of one sample; 0: the samples are none
  std::int64_t vocabulary_size = 0;        // tokens are 0 to vocabulary_size - 1, special ones included
};

// What a model learns from tokens: to continue them, or to fill in masked ones.
enum class TokenTask { kNextToken, kMaskedToken };

class Dataset {
 public:
  virtual ~Dataset() = default;
  virtual std::int64_t size() const = 0;
  virtual DatasetShape shape() const = 0;
  // The samples `indices`, each in [0, size()), in that order. Thread-safe. Throws DataError on unusable
  // content.
  virtual Batch get_batch(std::span<const std::int64_t> indices) const = 0;
  // For messages: "fashion-mnist train (60000 samples)".
  virtual std::string description() const = 0;
};

}  // namespace lockstep

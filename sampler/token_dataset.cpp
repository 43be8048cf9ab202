#include "sampler/token_dataset.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "sampler/data_error.h"

namespace lockstep {

TokenDataset::TokenDataset(std::string name, TokenSourcePtr tokens, std::int64_t sequence_length)
    : name_(std::move(name)), tokens_(std::move(tokens)), sequence_length_(sequence_length) {
  if (sequence_length < 1) {
    throw std::invalid_argument("sequence length " + std::to_string(sequence_length) +
                                "; it must be at least 1");
  }
  size_ = (tokens_->size() - 1) / sequence_length;
  if (size_ < 1) {
    throw DataError(name_ + ": " + std::to_string(tokens_->size()) +
                    " tokens are too few for one sample of " + std::to_string(sequence_length) +
                    " and the token after it; lower --sequence-length");
  }
}

DatasetShape TokenDataset::shape() const {
  return {.sample_sizes = {sequence_length_},
          .num_classes = 0,
          .sequence_length = sequence_length_,
          .vocabulary_size = tokens_->vocabulary_size()};
}

Batch TokenDataset::get_batch(std::span<const std::int64_t> indices) const {
  const auto count = static_cast<std::int64_t>(indices.size());
  const auto options = at::TensorOptions().dtype(at::kLong);
  Batch batch{.data = at::empty({count, sequence_length_}, options),
              .target = at::empty({count, sequence_length_}, options)};
  auto* data = batch.data.mutable_data_ptr<std::int64_t>();
  auto* target = batch.target.mutable_data_ptr<std::int64_t>();
  std::vector<std::int64_t> window(static_cast<std::size_t>(sequence_length_) + 1);
  for (const std::int64_t index : indices) {
    if (index < 0 || index >= size_) {
      throw std::out_of_range("sample " + std::to_string(index) + " does not exist in " + description());
    }
    tokens_->read(index * sequence_length_, window);
    data = std::copy(window.begin(), window.end() - 1, data);
    target = std::copy(window.begin() + 1, window.end(), target);
  }
  return batch;
}

std::string TokenDataset::description() const {
  return name_ + " (" + std::to_string(size_) + " samples of " + std::to_string(sequence_length_) +
         " tokens)";
}

}  // namespace lockstep

#include "sampler/masked_token_dataset.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <numeric>
#include <stdexcept>
#include <utility>

#include "sampler/counter_random.h"
#include "sampler/data_error.h"

namespace lockstep {
namespace {

constexpr std::int64_t kSpecialTokens = 3;  // of a sample
constexpr std::int64_t kShortest = kSpecialTokens + 2;
constexpr std::int64_t kNotPredicted = -100;  // what cross_entropy ignores

bool holds_special_tokens(std::int64_t vocabulary_size) {
  return vocabulary_size == 30522 || vocabulary_size == 28996;  // bert-base-uncased, bert-base-cased
}

// Of `count` tokens: 15 %, rounded half up.
std::int64_t masked_of(std::int64_t count) {
  return std::max<std::int64_t>(1, (15 * count + 50) / 100);
}

// The draws of one sample, one after the other.
class Draws {
 public:
  explicit Draws(std::uint64_t key) : key_(key) {}
  // In [0, bound); its bias is below bound / 2^64.
  std::int64_t below(std::int64_t bound) {
    return static_cast<std::int64_t>(mix(key_ + counter_++) % static_cast<std::uint64_t>(bound));
  }

 private:
  std::uint64_t key_;
  std::uint64_t counter_ = 0;
};

}  // namespace

MaskedTokenDataset::MaskedTokenDataset(std::string name, TokenSourcePtr tokens, std::int64_t sequence_length,
                                       std::uint64_t seed, Split split)
    : name_(std::move(name)),
      tokens_(std::move(tokens)),
      sequence_length_(sequence_length),
      seed_(seed),
      split_(split) {
  if (sequence_length < kShortest) {
    throw std::invalid_argument("sequence length " + std::to_string(sequence_length) +
                                "; pairs of sentences with three special tokens need at least " +
                                std::to_string(kShortest));
  }
  const std::int64_t content = sequence_length - kSpecialTokens;
  size_ = tokens_->size() / content;
  if (size_ < 1) {
    throw DataError(name_ + ": " + std::to_string(tokens_->size()) +
                    " tokens are too few for one sample of " + std::to_string(content) + " (" +
                    std::to_string(sequence_length) + " with the special ones); lower --sequence-length");
  }
  const std::int64_t vocabulary = tokens_->vocabulary_size();
  cls_ = holds_special_tokens(vocabulary) ? 101 : vocabulary;
  sep_ = cls_ + 1;
  mask_ = cls_ + 2;
}

DatasetShape MaskedTokenDataset::shape() const {
  const std::int64_t vocabulary = tokens_->vocabulary_size();
  return {.sample_sizes = {2, sequence_length_},
          .num_classes = 0,
          .sequence_length = sequence_length_,
          .vocabulary_size = holds_special_tokens(vocabulary) ? vocabulary : vocabulary + kSpecialTokens};
}

void MaskedTokenDataset::write_sample(std::int64_t index, std::int64_t* data, std::int64_t* target) const {
  const std::int64_t content = sequence_length_ - kSpecialTokens;
  const std::int64_t first = (content + 1) / 2;
  const std::int64_t second = content - first;
  Draws draws(stream_key(seed_, kMaskingStream + static_cast<std::uint64_t>(split_),
                         static_cast<std::uint64_t>(index)));

  // Where B begins: right after A, or at any other place that has room for it.
  const std::int64_t after = index * content + first;
  std::int64_t begin = after;
  const bool from_elsewhere = draws.below(2) == 1;
  if (from_elsewhere) {
    begin = draws.below(tokens_->size() - second);
    if (begin >= after) ++begin;
  }
  std::vector<std::int64_t> tokens(static_cast<std::size_t>(content));
  tokens_->read(index * content, std::span(tokens).first(static_cast<std::size_t>(first)));
  tokens_->read(begin, std::span(tokens).last(static_cast<std::size_t>(second)));

  std::vector<std::int64_t> labels(tokens.size(), kNotPredicted);
  // The first places of a shuffle of all of them.
  std::vector<std::size_t> places(tokens.size());
  std::iota(places.begin(), places.end(), std::size_t{0});
  const std::int64_t masked = masked_of(content);
  for (std::int64_t i = 0; i < masked; ++i) {
    std::swap(places[static_cast<std::size_t>(i)],
              places[static_cast<std::size_t>(i + draws.below(content - i))]);
    const std::size_t place = places[static_cast<std::size_t>(i)];
    labels[place] = tokens[place];
    const std::int64_t tenth = draws.below(10);
    if (tenth < 8) tokens[place] = mask_;
    if (tenth == 8) tokens[place] = draws.below(tokens_->vocabulary_size());
  }

  std::int64_t* const segments = data + sequence_length_;
  std::fill(target, target + sequence_length_, kNotPredicted);
  data[0] = cls_;
  std::copy(tokens.begin(), tokens.begin() + first, data + 1);
  std::copy(labels.begin(), labels.begin() + first, target + 1);
  data[first + 1] = sep_;
  std::copy(tokens.begin() + first, tokens.end(), data + first + 2);
  std::copy(labels.begin() + first, labels.end(), target + first + 2);
  data[sequence_length_ - 1] = sep_;
  std::fill(segments, segments + first + 2, 0);
  std::fill(segments + first + 2, segments + sequence_length_, 1);
  target[sequence_length_] = from_elsewhere ? 1 : 0;
}

Batch MaskedTokenDataset::get_batch(std::span<const std::int64_t> indices) const {
  const auto count = static_cast<std::int64_t>(indices.size());
  const auto options = at::TensorOptions().dtype(at::kLong);
  Batch batch{.data = at::empty({count, 2, sequence_length_}, options),
              .target = at::empty({count, sequence_length_ + 1}, options)};
  auto* data = batch.data.mutable_data_ptr<std::int64_t>();
  auto* target = batch.target.mutable_data_ptr<std::int64_t>();
  for (const std::int64_t index : indices) {
    if (index < 0 || index >= size_) {
      throw std::out_of_range("sample " + std::to_string(index) + " does not exist in " + description());
    }
    write_sample(index, data, target);
    data += 2 * sequence_length_;
    target += sequence_length_ + 1;
  }
  return batch;
}

std::string MaskedTokenDataset::description() const {
  return name_ + " (" + std::to_string(size_) + " samples of " + std::to_string(sequence_length_) +
         " tokens, some masked)";
}

}  // namespace lockstep

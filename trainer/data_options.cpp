#include "trainer/data_options.h"

#include "trainer/models/models.h"

namespace lockstep {
namespace {

constexpr std::int64_t kPicturesPerEvaluation = 256;  // at once

}  // namespace

DatasetOptions dataset_options(const TrainConfig& config) {
  DatasetOptions options;
  options.seed = config.seed;
  options.synthetic_samples = config.synthetic_samples;
  const TokenNeeds needs = token_needs(config.model);
  options.token_task = needs.task;
  if (needs.sequence_length > 0) options.sequence_length = needs.sequence_length;
  if (config.sequence_length > 0) options.sequence_length = config.sequence_length;
  options.vocabulary_size = config.vocab_size;
  return options;
}

std::int64_t eval_batch_size(const TrainConfig& config) {
  if (config.eval_batch_size > 0) return config.eval_batch_size;
  // A language model's logits take 4 bytes for every token of the vocabulary at every position.
  return token_needs(config.model).sequence_length > 0 ? config.batch_size : kPicturesPerEvaluation;
}

}  // namespace lockstep

#include "sampler/token_sets.h"

#include <algorithm>
#include <stdexcept>

#include "sampler/data_error.h"
#include "sampler/masked_token_dataset.h"
#include "sampler/synthetic_tokens.h"
#include "sampler/token_dataset.h"

namespace lockstep {
namespace {

constexpr std::int64_t kSyntheticVocabulary = 256;

using Files = std::vector<std::filesystem::path>;

std::shared_ptr<const Dataset> make_dataset(const TokenSourcePtr& tokens, Split split,
                                            const DatasetOptions& options) {
  const std::string name = tokens->name() + (split == Split::kTrain ? " train" : " test");
  if (options.token_task == TokenTask::kNextToken)
    return std::make_shared<TokenDataset>(name, tokens, options.sequence_length);
  return std::make_shared<MaskedTokenDataset>(name, tokens, options.sequence_length, options.seed, split);
}

TrainAndTest make_sets(const TokenSourcePtr& train, const TokenSourcePtr& test,
                       const DatasetOptions& options) {
  return {make_dataset(train, Split::kTrain, options), make_dataset(test, Split::kTest, options)};
}

// The last tenth, but at least what one sample takes, is for testing.
TrainAndTest split_one_row(const TokenSourcePtr& tokens, const DatasetOptions& options) {
  const std::int64_t one_sample = options.sequence_length + 1;
  const std::int64_t for_testing = std::max(tokens->size() / 10, one_sample);
  const std::int64_t for_training = tokens->size() - for_testing;
  if (for_training < one_sample) {
    throw DataError(tokens->name() + ": " + std::to_string(tokens->size()) +
                    " tokens are too few: a sample takes " + std::to_string(one_sample) +
                    ", and training and testing need one each; lower --sequence-length");
  }
  return make_sets(std::make_shared<TokenSlice>(tokens, 0, for_training),
                   std::make_shared<TokenSlice>(tokens, for_training, for_testing), options);
}

bool is_for_testing(const std::filesystem::path& file) {
  const std::string name = file.stem().string();
  return name.find("val") != std::string::npos || name.find("test") != std::string::npos;
}

Files list_files(const std::filesystem::path& folder, const std::string& extension) {
  Files files;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    if (entry.path().extension() == extension) files.push_back(entry.path());
  }
  if (error) throw DataError(folder.string() + ": cannot be listed (" + error.message() + ")");
  if (files.empty()) {
    throw DataError(folder.string() + ": holds no *" + extension +
                    " file; name a file, or a folder that has some");
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

TrainAndTest open_token_files(const std::filesystem::path& path, TokenFileKind kind,
                              const DatasetOptions& options) {
  const std::int64_t headerless =
      options.token_task == TokenTask::kMaskedToken ? kBertVocabulary : kGpt2Vocabulary;
  const auto open = [&](const Files& files) {
    return std::make_shared<TokenFiles>(files, kind, options.vocabulary_size, headerless);
  };
  std::error_code unreadable;  // counts as a file, which cannot be opened then
  if (!std::filesystem::is_directory(path, unreadable)) return split_one_row(open({path}), options);
  Files train = list_files(path, kind == TokenFileKind::kText ? ".txt" : ".bin");
  const auto middle = std::stable_partition(train.begin(), train.end(),
                                            [](const auto& file) { return !is_for_testing(file); });
  const Files test(middle, train.end());
  train.erase(middle, train.end());
  if (train.empty()) {
    throw DataError(path.string() + ": all its files have val or test in their names (" +
                    test.front().filename().string() + "); there must be some to train on");
  }
  const auto training_tokens = open(train);
  if (test.empty()) return split_one_row(training_tokens, options);
  const auto test_tokens = open(test);
  if (test_tokens->vocabulary_size() != training_tokens->vocabulary_size()) {
    throw DataError(test.front().string() + ": is of a format with a vocabulary of " +
                    std::to_string(test_tokens->vocabulary_size()) + ", the training files are of one of " +
                    std::to_string(training_tokens->vocabulary_size()) + "; both need the same");
  }
  return make_sets(training_tokens, test_tokens, options);
}

TrainAndTest open_synthetic_tokens(const DatasetOptions& options) {
  const std::int64_t vocabulary =
      options.vocabulary_size == 0 ? kSyntheticVocabulary : options.vocabulary_size;
  const auto make = [&](Split split, std::int64_t samples) -> TokenSourcePtr {
    std::int64_t tokens = 0;
    if (samples < 1 || options.sequence_length < 1 ||
        __builtin_mul_overflow(samples, options.sequence_length, &tokens)) {
      throw std::invalid_argument("synthetic-tokens: " + std::to_string(samples) + " samples of " +
                                  std::to_string(options.sequence_length) +
                                  " tokens; there must be at least 1 of each, and fewer than 2^63 tokens");
    }
    return std::make_shared<SyntheticTokens>(options.seed, split, tokens + 1, vocabulary);
  };
  const std::int64_t samples = options.synthetic_samples;
  return make_sets(make(Split::kTrain, samples), make(Split::kTest, std::max<std::int64_t>(samples / 4, 1)),
                   options);
}

}  // namespace lockstep

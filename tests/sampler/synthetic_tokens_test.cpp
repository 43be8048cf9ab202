#include "sampler/synthetic_tokens.h"

#include <gtest/gtest.h>

#include <map>
#include <stdexcept>
#include <vector>

namespace lockstep {
namespace {

std::vector<std::int64_t> read(const SyntheticTokens& tokens, std::int64_t first, std::size_t count) {
  std::vector<std::int64_t> read(count);
  tokens.read(first, read);
  return read;
}

TEST(SyntheticTokens, DependOnSeedSplitAndPositionAlone) {
  const SyntheticTokens tokens(3, Split::kTrain, 1000, 50);
  const auto all = read(tokens, 0, 1000);
  const auto some = read(tokens, 321, 100);
  EXPECT_TRUE(std::equal(some.begin(), some.end(), all.begin() + 321));
  EXPECT_NE(all, read(SyntheticTokens(3, Split::kTest, 1000, 50), 0, 1000));
  EXPECT_NE(all, read(SyntheticTokens(4, Split::kTrain, 1000, 50), 0, 1000));
  for (const std::int64_t token : all) EXPECT_TRUE(token >= 0 && token < 50);
}

TEST(SyntheticTokens, CountUpInRunsButForOneInTen) {
  const auto tokens = read(SyntheticTokens(3, Split::kTrain, 64000, 1000), 0, 64000);
  int continued = 0;
  for (std::size_t run = 0; run < 1000; ++run) {
    // The step that most of the run's neighbours have.
    std::map<std::int64_t, int> steps;
    for (std::size_t i = 0; i < 63; ++i)
      ++steps[(tokens[64 * run + i + 1] - tokens[64 * run + i] + 1000) % 1000];
    int most = 0;
    for (const auto& [step, times] : steps) {
      if (times > most && step >= 1 && step <= 3) most = times;
    }
    continued += most;
  }
  // Both neighbours are kept with probability 0.9 each: 0.81 of 63,000, standard deviation below 200.
  EXPECT_NEAR(continued, 0.81 * 63000, 1000);
}

TEST(SyntheticTokens, RefuseWhatCannotBe) {
  EXPECT_THROW(SyntheticTokens(0, Split::kTrain, 0, 5), std::invalid_argument);
  EXPECT_THROW(SyntheticTokens(0, Split::kTrain, 5, 0), std::invalid_argument);
}

}  // namespace
}  // namespace lockstep

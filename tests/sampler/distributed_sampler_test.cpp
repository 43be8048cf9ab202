#include "sampler/distributed_sampler.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>

#include "tests/sampler/idx_writer.h"

namespace lockstep {
namespace {

TEST(DistributedSampler, GivesTheIndicesOfPyTorch) {
  const char* file = std::getenv("LOCKSTEP_SAMPLER_REFERENCE");
  ASSERT_NE(file, nullptr) << "ctest makes the reference file and names it";
  std::ifstream reference(file);
  std::int64_t cases = 0;
  std::set<std::int64_t> sizes;
  std::int64_t samples, epoch, drop_last, shuffle, per_rank;
  int ranks;
  std::uint64_t seed;
  while (reference >> samples >> ranks >> epoch >> drop_last >> shuffle >> seed >> per_rank) {
    const std::string label = std::to_string(samples) + " samples, " + std::to_string(ranks) +
                              " ranks, epoch " + std::to_string(epoch) + ", drop_last " +
                              std::to_string(drop_last) + ", shuffle " + std::to_string(shuffle) + ", seed " +
                              std::to_string(seed);
    for (int rank = 0; rank < ranks; ++rank) {
      std::vector<std::int64_t> expected(static_cast<std::size_t>(per_rank));
      for (std::int64_t& index : expected) ASSERT_TRUE(reference >> index) << label;
      const DistributedSampler sampler(samples, ranks, rank,
                                       {.shuffle = shuffle != 0, .seed = seed, .drop_last = drop_last != 0});
      EXPECT_EQ(sampler.samples_per_rank(), per_rank) << label;
      EXPECT_TRUE(sampler.indices(epoch) == expected) << label << ", rank " << rank;
    }
    ++cases;
    sizes.insert(samples);
  }
  EXPECT_TRUE(reference.eof());
  EXPECT_GT(cases, 1500);
  EXPECT_TRUE(sizes.contains(1) && sizes.contains(60000));
}

TEST(DistributedSampler, SharesEverySampleOutOnceWhereItDividesEvenly) {
  std::multiset<std::int64_t> seen;
  for (int rank = 0; rank < 4; ++rank) {
    for (const std::int64_t index : DistributedSampler(20, 4, rank, {.seed = 7}).indices(2))
      seen.insert(index);
  }
  EXPECT_EQ(seen.size(), 20u);
  EXPECT_EQ(std::set<std::int64_t>(seen.begin(), seen.end()).size(), 20u);
  EXPECT_EQ(*seen.begin(), 0);
  EXPECT_EQ(*seen.rbegin(), 19);
}

TEST(DistributedSampler, RefusesWhatCannotBe) {
  using testing::expect_error;
  expect_error<std::invalid_argument>([] { DistributedSampler(0, 1, 0); }, {"0 samples"});
  expect_error<std::invalid_argument>([] { DistributedSampler(10, 0, 0); }, {"rank 0 of 0"});
  expect_error<std::invalid_argument>([] { DistributedSampler(10, 2, 2); }, {"rank 2 of 2"});
  expect_error<std::invalid_argument>([] { DistributedSampler(10, 2, -1); }, {"rank -1 of 2"});
  expect_error<std::invalid_argument>([] { DistributedSampler(2, 3, 0, {.drop_last = true}); },
                                      {"2 samples", "3 ranks", "fewer ranks"});
  EXPECT_NO_THROW(DistributedSampler(2, 3, 0));
  expect_error<std::invalid_argument>([] { DistributedSampler(2, 1, 0).indices(-1); }, {"epoch -1"});
}

}  // namespace
}  // namespace lockstep

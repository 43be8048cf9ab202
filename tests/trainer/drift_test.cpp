#include "trainer/drift.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <set>

namespace lockstep {
namespace {

TEST(Drift, EveryFlippedBitChangesTheFingerprint) {
  // 70 floats: whole rounds of four words, and a rest.
  const at::Tensor weights = at::arange(70, at::kFloat).div(7.0);
  std::set<double> seen = {fingerprint({weights})};
  auto* words = static_cast<std::int32_t*>(weights.data_ptr());
  for (int element = 0; element < 70; ++element) {
    for (const unsigned bit : {0U, 13U, 31U}) {
      words[element] = static_cast<std::int32_t>(static_cast<std::uint32_t>(words[element]) ^ (1U << bit));
      EXPECT_TRUE(seen.insert(fingerprint({weights})).second) << element << " " << bit;
      words[element] = static_cast<std::int32_t>(static_cast<std::uint32_t>(words[element]) ^ (1U << bit));
    }
  }
  EXPECT_EQ(seen.count(fingerprint({weights})), 1u);
}

TEST(Drift, TheFingerprintIsAWholeNumberThatADoubleHolds) {
  for (int i = 0; i < 100; ++i) {
    const double number = fingerprint({at::full({i}, i)});
    EXPECT_GE(number, 1.0);
    EXPECT_LT(number, 9007199254740992.0);
    EXPECT_EQ(number, static_cast<double>(static_cast<std::int64_t>(number)));
  }
  EXPECT_GE(fingerprint({}), 1.0);
}

TEST(Drift, OrderAndBordersOfTensorsCount) {
  const at::Tensor a = at::ones({3});
  const at::Tensor b = at::zeros({3});
  EXPECT_NE(fingerprint({a, b}), fingerprint({b, a}));
  EXPECT_NE(fingerprint({a}), fingerprint({a, b}));
  EXPECT_EQ(fingerprint({at::arange(6).view({2, 3}).t()}),
            fingerprint({at::tensor({0, 3, 1, 4, 2, 5}, at::kLong)}));
}

TEST(Drift, NamesWhoDiffersFromTheMajority) {
  EXPECT_EQ(describe_drift({7, 7, 9, 7}), "rank 2 differs from the 3 others");
  EXPECT_EQ(describe_drift({8, 7, 9, 7, 7}), "ranks 0 and 2 differ from the 3 others");
  EXPECT_EQ(describe_drift({7, 9}), "ranks 0 and 1 differ, and no majority tells which is right");
  EXPECT_EQ(describe_drift({7, 8, 9}), "ranks 0, 1 and 2 differ, and no majority tells which is right");
}

}  // namespace
}  // namespace lockstep

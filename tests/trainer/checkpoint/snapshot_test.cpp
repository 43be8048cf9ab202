#include "trainer/checkpoint/snapshot.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <limits>

namespace lockstep {
namespace {

TEST(Snapshot, IsACopyThatLaterChangesLeaveAlone) {
  Snapshot snapshot;
  const at::Tensor weight = at::arange(1'000'003, at::kFloat);  // more than one thread's share
  const at::Tensor copy = snapshot.copy("weight", weight);
  EXPECT_TRUE(at::equal(copy, weight));
  weight.zero_();
  EXPECT_TRUE(at::equal(copy, at::arange(1'000'003, at::kFloat)));
}

TEST(Snapshot, KeepsItsMemoryFromSaveToSave) {
  Snapshot snapshot;
  const void* first = snapshot.copy("a", at::full({1000}, 1.0)).const_data_ptr();
  const at::Tensor other = snapshot.copy("b", at::full({1000}, 2.0));
  const at::Tensor again = snapshot.copy("a", at::full({1000}, 3.0));
  EXPECT_EQ(again.const_data_ptr(), first);
  EXPECT_TRUE(at::equal(again, at::full({1000}, 3.0)));
  EXPECT_TRUE(at::equal(other, at::full({1000}, 2.0)));
}

TEST(Snapshot, TakesEveryShapeAndDtype) {
  Snapshot snapshot;
  EXPECT_TRUE(at::equal(snapshot.copy("a", at::full({}, 7, at::kLong)), at::full({}, 7, at::kLong)));
  const at::Tensor transposed = at::arange(6).reshape({2, 3}).t();
  const at::Tensor copy = snapshot.copy("a", transposed);
  EXPECT_TRUE(at::equal(copy, transposed));
  EXPECT_TRUE(copy.is_contiguous());
  EXPECT_EQ(snapshot.copy("a", at::zeros({0, 3})).numel(), 0);
}

TEST(AllFinite, FindsNaNAndInfinityWhereverTheyAre) {
  for (const at::ScalarType type : {at::kFloat, at::kDouble, at::kHalf, at::kBFloat16}) {
    at::Tensor tensor = at::arange(10'001).remainder(100).to(type);
    EXPECT_TRUE(all_finite(tensor)) << type;
    for (const double bad :
         {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(),
          -std::numeric_limits<double>::infinity()}) {
      for (const std::int64_t index : {0, 4096, 10'000}) {
        at::Tensor damaged = tensor.clone();
        damaged[index] = bad;
        EXPECT_FALSE(all_finite(damaged)) << type << " " << bad << " at " << index;
        EXPECT_FALSE(all_finite(damaged.reshape({73, 137}).t())) << type;
      }
    }
  }
  EXPECT_TRUE(all_finite(at::full({3}, std::numeric_limits<float>::max())));
  EXPECT_TRUE(all_finite(at::full({3}, std::numeric_limits<float>::denorm_min())));
  EXPECT_TRUE(all_finite(at::zeros({0})));
  EXPECT_TRUE(all_finite(at::full({3}, -1, at::kLong)));
}

}  // namespace
}  // namespace lockstep

#include "trainer/compare/tensor_difference.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace lockstep {
namespace {

using testing::ElementsAre;

at::Tensor copy_with(const at::Tensor& tensor, std::int64_t flat, double value) {
  at::Tensor copy = tensor.clone();
  copy.view({-1})[flat].fill_(value);
  return copy;
}

TEST(CompareTensors, EqualOnesAreEqualInAnyOrder) {
  const at::Tensor weight = at::arange(6, at::kFloat).view({2, 3}), bias = at::ones({3});
  const TensorDifference found = compare_tensors({{"weight", weight}, {"bias", bias}},
                                                 {{"bias", bias.clone()}, {"weight", weight.clone()}});
  EXPECT_TRUE(found.equal());
  EXPECT_EQ(found.tensors, 2);
  EXPECT_EQ(found.elements, 9);
  EXPECT_FALSE(found.first);
}

TEST(CompareTensors, CountsAndLocates) {
  const at::Tensor a = at::ones({2, 3});
  const float next = std::nextafter(1.0F, 2.0F);
  // [0, 2] is one ulp off (2^-23 above 1), [1, 1] a whole 1, which is 2^23 ulps: one for each float in [1,
  // 2).
  const at::Tensor b = copy_with(copy_with(a, 2, next), 4, 2.0);
  const TensorDifference found = compare_tensors({{"same", a}, {"w", a}}, {{"same", a}, {"w", b}});
  EXPECT_FALSE(found.equal());
  EXPECT_EQ(found.tensors_different, 1);
  EXPECT_EQ(found.elements_different, 2);
  ASSERT_TRUE(found.first);
  EXPECT_EQ(found.first->tensor, "w");
  EXPECT_THAT(found.first->index, ElementsAre(0, 2));
  EXPECT_EQ(found.first->b, next);
  EXPECT_EQ(found.largest_ulps, 1U << 23);
  EXPECT_THAT(found.largest_ulps_at->index, ElementsAre(1, 1));
  EXPECT_EQ(found.largest_absolute, 1.0);
  EXPECT_THAT(found.largest_absolute_at->index, ElementsAre(1, 1));
}

TEST(CompareTensors, UlpsAndDistancesMayBeLargestInDifferentPlaces) {
  const at::Tensor a = at::full({2}, 1e-30), b = at::full({2}, 1e-30);
  const TensorDifference found = compare_tensors({{"w", copy_with(a, 1, 1000.0)}},
                                                 {{"w", copy_with(copy_with(b, 0, 2e-30), 1, 1001.0)}});
  EXPECT_THAT(found.largest_ulps_at->index, ElementsAre(0));
  EXPECT_THAT(found.largest_absolute_at->index, ElementsAre(1));
  EXPECT_EQ(found.largest_absolute, 1.0);
}

TEST(CompareTensors, UlpsOfEveryDtype) {
  struct Case {
    at::ScalarType type;
    double a, b;
    std::uint64_t ulps;
  };
  const std::vector<Case> cases{
      {at::kDouble, 1.0, std::nextafter(1.0, 2.0), 1},
      {at::kDouble, 1.0, 2.0, std::uint64_t{1} << 52},
      {at::kFloat, 0.0, std::numeric_limits<float>::denorm_min(), 1},
      {at::kFloat, -std::numeric_limits<float>::denorm_min(), std::numeric_limits<float>::denorm_min(), 2},
      {at::kHalf, 1.0, 1.0 + std::ldexp(1.0, -10), 1},
      {at::kBFloat16, 1.0, 1.0 + std::ldexp(1.0, -7), 1},
      {at::kLong, -3, 4, 7},
      {at::kByte, 255, 1, 254},
      {at::kBool, 0, 1, 1},
  };
  for (const Case& one : cases) {
    const TensorDifference found =
        compare_tensors({{"x", at::full({1}, one.a, one.type)}}, {{"x", at::full({1}, one.b, one.type)}});
    EXPECT_EQ(found.elements_different, 1);
    EXPECT_EQ(found.largest_ulps, one.ulps) << one.type << " " << one.a << " " << one.b;
  }
}

TEST(CompareTensors, BitsCountWhereValuesDoNot) {
  const double nan = std::nan("");
  const TensorDifference zeros = compare_tensors({{"x", at::zeros({1})}}, {{"x", at::zeros({1}).neg()}});
  EXPECT_FALSE(zeros.equal());  // 0 and -0
  EXPECT_EQ(zeros.largest_ulps, 0U);
  const TensorDifference same_nan = compare_tensors({{"x", at::full({1}, nan)}}, {{"x", at::full({1}, nan)}});
  EXPECT_TRUE(same_nan.equal());
  const TensorDifference one_nan = compare_tensors({{"x", at::full({2}, nan)}}, {{"x", at::ones({2})}});
  EXPECT_EQ(one_nan.elements_different, 2);
  EXPECT_EQ(one_nan.not_a_number, 2);
  EXPECT_FALSE(one_nan.largest_ulps_at);
}

TEST(CompareTensors, NamesWhatIsNotInBothOrOfAnotherShape) {
  const at::Tensor x = at::ones({2});
  const TensorDifference found = compare_tensors({{"a", x}, {"w", x}, {"d", x}},
                                                 {{"w", at::ones({3})}, {"d", x.to(at::kDouble)}, {"b", x}});
  EXPECT_FALSE(found.equal());
  EXPECT_EQ(found.tensors, 0);
  EXPECT_THAT(found.only_in_a, ElementsAre("a"));
  EXPECT_THAT(found.only_in_b, ElementsAre("b"));
  EXPECT_THAT(found.misshapen,
              ElementsAre("w is Float[2] in A and Float[3] in B", "d is Float[2] in A and Double[2] in B"));
}

TEST(CompareTensors, MemoryOrderIsNoDifference) {
  const at::Tensor a = at::arange(6, at::kFloat).view({2, 3});
  EXPECT_TRUE(compare_tensors({{"x", a}}, {{"x", a.t().contiguous().t()}}).equal());
}

}  // namespace
}  // namespace lockstep

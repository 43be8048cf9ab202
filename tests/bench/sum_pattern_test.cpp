#include "bench/sum_pattern.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <stdexcept>

namespace lockstep {
namespace {

constexpr std::int64_t kCount = 10'000;  // more than two periods
constexpr std::int64_t kOffset = 34;

at::Tensor filled(const SumPattern& pattern, at::ScalarType dtype) {
  at::Tensor tensor = at::empty({kCount}, at::TensorOptions().dtype(dtype));
  pattern.fill(tensor.mutable_data_ptr(), kCount, kOffset);
  return tensor;
}

// The inputs of all ranks added up by LibTorch, one rank after the other.
at::Tensor sum_over_ranks(int world_size, at::ScalarType dtype) {
  at::Tensor sum = at::zeros({kCount}, at::TensorOptions().dtype(dtype));
  for (int rank = 0; rank < world_size; ++rank)
    sum += filled(SumPattern(dtype, rank, world_size, false), dtype);
  return sum;
}

TEST(SumPattern, TheRightSumIsRightInEveryDtype) {
  for (const auto dtype :
       {at::kFloat, at::kDouble, at::kHalf, at::kBFloat16, at::kInt, at::kLong, at::kByte}) {
    const at::Tensor sum = sum_over_ranks(5, dtype);
    EXPECT_EQ(SumPattern(dtype, 3, 5, false).count_wrong(sum.const_data_ptr(), kCount, kOffset), 0) << dtype;
    const at::Tensor repeated = sum.mul(5);
    EXPECT_EQ(SumPattern(dtype, 3, 5, true).count_wrong(repeated.const_data_ptr(), kCount, kOffset), 0)
        << dtype;
  }
}

TEST(SumPattern, EachWrongElementIsCounted) {
  at::Tensor sum = sum_over_ranks(2, at::kFloat);
  for (const std::int64_t index : {std::int64_t{0}, std::int64_t{4095}, kCount - 1}) {
    sum.mutable_data_ptr<float>()[index] += 1.0F;
  }
  EXPECT_EQ(SumPattern(at::kFloat, 0, 2, false).count_wrong(sum.const_data_ptr(), kCount, kOffset), 3);
}

TEST(SumPattern, AMissingRankAndAShiftAreSeen) {
  const SumPattern pattern(at::kFloat, 0, 3, false);
  const at::Tensor missing =
      sum_over_ranks(3, at::kFloat).sub(filled(SumPattern(at::kFloat, 2, 3, false), at::kFloat));
  EXPECT_GT(pattern.count_wrong(missing.const_data_ptr(), kCount, kOffset), kCount / 2);
  const at::Tensor sum = sum_over_ranks(3, at::kFloat);
  for (const std::int64_t shift : {1, 2, 64, 256, 1024}) {
    const std::int64_t wrong =
        pattern.count_wrong(sum.const_data_ptr<float>() + shift, kCount - shift, kOffset);
    EXPECT_GT(wrong, kCount / 4) << shift;
  }
}

TEST(SumPattern, OneRanksDataAreToldFromAnothers) {
  for (const auto dtype : {at::kFloat, at::kByte, at::kBFloat16}) {
    const at::Tensor third = filled(SumPattern::of_rank(dtype, 2), dtype);
    EXPECT_EQ(SumPattern::of_rank(dtype, 2).count_wrong(third.const_data_ptr(), kCount, kOffset), 0);
    EXPECT_GT(SumPattern::of_rank(dtype, 1).count_wrong(third.const_data_ptr(), kCount, kOffset), kCount / 4);
  }
}

TEST(SumPattern, SumsThatWouldBeRoundedAreRefused) {
  EXPECT_NO_THROW(SumPattern(at::kBFloat16, 0, 128, false));
  EXPECT_THROW(SumPattern(at::kBFloat16, 0, 129, false), std::invalid_argument);
  EXPECT_THROW(SumPattern(at::kByte, 0, 12, true), std::invalid_argument);
  EXPECT_NO_THROW(SumPattern(at::kFloat, 0, 1024, true));
}

}  // namespace
}  // namespace lockstep

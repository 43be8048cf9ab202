// The kernel of order kTree on a GPU, beside the CPU's sums and beside LibTorch's operators there.
#include <ATen/ATen.h>
#include <c10/cuda/CUDAFunctions.h>
#include <gtest/gtest.h>

#include "comm/sum_rows.h"
#include "comm/tree_sum.h"
#include "tests/comm/tree_rows.h"

namespace lockstep {
namespace {

constexpr at::ScalarType kDtypes[] = {at::kFloat, at::kDouble, at::kHalf, at::kBFloat16};

class CudaTreeSumTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_GT(c10::cuda::device_count(), 0) << "a test labelled gpu was started without one";
    ASSERT_TRUE(has_tree_sum(at::kFloat, 0)) << "this build has no code for this GPU";
    at::manual_seed(3);
  }
};

// Up to three rounds of eight rows; one element, a rest behind packs, and more than a grid.
TEST_F(CudaTreeSumTest, HasTheBitsOfTheCpu) {
  for (const at::ScalarType dtype : kDtypes) {
    for (const std::int64_t count : {1, 2, 3, 7, 8, 9, 20, 70}) {
      for (const std::int64_t elements : {1, 1001, 1 << 20}) {
        if (count > 9 && elements > 1001) continue;
        const at::Tensor rows = testing::draw_rows(count, elements, dtype);
        const at::Tensor on_gpu = rows.to(at::kCUDA);
        at::Tensor sum = at::empty({elements}, on_gpu.options());
        sum_rows(sum, on_gpu, ReductionOrder::kTree);
        ASSERT_TRUE(at::equal(sum.cpu(), testing::cpu_tree_sum(rows)))
            << count << " rows of " << elements << " " << dtype;
        ASSERT_TRUE(at::equal(on_gpu.cpu(), rows)) << "the rows are not what they were";
        sum_rows_in_tree(on_gpu[0], on_gpu);
        ASSERT_TRUE(at::equal(on_gpu[0].cpu(), testing::cpu_tree_sum(rows)))
            << count << " rows of " << elements << " in place";
      }
    }
  }
}

TEST_F(CudaTreeSumTest, RowsMayLieAnywhere) {
  for (const at::ScalarType dtype : kDtypes) {
    const at::Tensor wide = testing::draw_rows(5, 1037, dtype);
    const at::Tensor on_gpu = wide.to(at::kCUDA);
    for (const std::int64_t begin : {0, 1, 16}) {  // at an odd address, and rows apart by no whole pack
      at::Tensor sum = at::empty({1000}, on_gpu.options());
      sum_rows(sum, on_gpu.narrow(1, begin, 1000), ReductionOrder::kTree);
      EXPECT_TRUE(at::equal(sum.cpu(), testing::cpu_tree_sum(wide.narrow(1, begin, 1000))))
          << dtype << " from " << begin;
    }
  }
}

TEST_F(CudaTreeSumTest, SmallestNumbersAreNotFlushed) {
  const at::Tensor rows = at::full({3, 64}, 1e-40, at::TensorOptions().dtype(at::kFloat));
  at::Tensor sum = at::empty({64}, at::TensorOptions().dtype(at::kFloat).device(at::kCUDA));
  sum_rows(sum, rows.to(at::kCUDA), ReductionOrder::kTree);
  EXPECT_TRUE(at::equal(sum.cpu(), testing::cpu_tree_sum(rows)));
  EXPECT_TRUE(sum.gt(0).all().item<bool>());
}

TEST_F(CudaTreeSumTest, OperatorsDoTheSame) {
  for (const at::ScalarType dtype : kDtypes) {
    const at::Tensor rows = testing::draw_rows(7, 4099, dtype).to(at::kCUDA);
    at::Tensor by_kernel = at::empty({4099}, rows.options());
    at::Tensor by_operators = at::empty({4099}, rows.options());
    sum_rows(by_kernel, rows, ReductionOrder::kTree);
    sum_rows_by_operators(by_operators, rows, ReductionOrder::kTree);
    EXPECT_TRUE(at::equal(by_kernel, by_operators)) << dtype;
  }
}

}  // namespace
}  // namespace lockstep

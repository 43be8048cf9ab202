// What one thread of the CUDA kernel does, done here by as many threads as there would be, one after the
// other.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "comm/sum_rows.h"
#include "comm/tree_sum_kernel.h"
#include "tests/comm/tree_rows.h"

namespace lockstep {
namespace {

constexpr std::int64_t kApart = 1040;  // of rows, in elements: a multiple of every pack

at::Tensor draw(int rows, at::ScalarType dtype) {
  at::manual_seed(3);
  return testing::draw_rows(rows, kApart, dtype);
}

at::Tensor cpu_tree(const at::Tensor& rows, std::int64_t elements) {
  return testing::cpu_tree_sum(rows.narrow(1, 0, elements));
}

template <int kLanes, typename T>
void add_up(const TreeSum<T>& sum, std::int64_t threads) {
  for (std::int64_t thread = 0; thread < threads; ++thread) add_up_share<kLanes>(sum, thread, threads);
}

template <typename T>
class TreeSumTest : public ::testing::Test {
 protected:
  static constexpr int kLanes = kTreeSumPackBytes / sizeof(T);
  static constexpr at::ScalarType kDtype = c10::CppTypeToScalarType<T>::value;
};

using Types = ::testing::Types<float, double, c10::Half, c10::BFloat16>;
TYPED_TEST_SUITE(TreeSumTest, Types);

// Less than a pack, packs and a rest, more packs than threads.
TYPED_TEST(TreeSumTest, HasTheBitsOfTheCpusTree) {
  for (int rows = 1; rows <= kTreeSumRows; ++rows) {
    for (const std::int64_t elements : {std::int64_t{1}, std::int64_t{9}, std::int64_t{1001}, kApart}) {
      const at::Tensor input = draw(rows, this->kDtype);
      const at::Tensor expected = cpu_tree(input, elements);
      const at::Tensor output = at::full({kApart}, -7, input.options());
      const TreeSum<TypeParam> sum{output.mutable_data_ptr<TypeParam>(), input.const_data_ptr<TypeParam>(),
                                   kApart, elements, rows};
      for (const std::int64_t threads : {1, 7, 256}) {
        output.fill_(-7);
        add_up<TestFixture::kLanes>(sum, threads);
        ASSERT_TRUE(at::equal(output.narrow(0, 0, elements), expected)) << rows << " rows of " << elements;
        ASSERT_TRUE(output.narrow(0, elements, kApart - elements).eq(-7).all().template item<bool>());
        output.fill_(-7);
        add_up<1>(sum, threads);
        ASSERT_TRUE(at::equal(output.narrow(0, 0, elements), expected)) << rows << " rows of " << elements;
      }
    }
  }
}

TYPED_TEST(TreeSumTest, TheOutputMayBeARow) {
  for (const int row : {0, 2}) {
    const at::Tensor rows = draw(5, this->kDtype);
    const at::Tensor before = rows.clone();
    const at::Tensor expected = cpu_tree(rows, 1001);
    add_up<TestFixture::kLanes>(TreeSum<TypeParam>{rows[row].mutable_data_ptr<TypeParam>(),
                                                   rows.const_data_ptr<TypeParam>(), kApart, 1001, 5},
                                16);
    EXPECT_TRUE(at::equal(rows[row].narrow(0, 0, 1001), expected));
    for (int other = 0; other < 5; ++other)
      EXPECT_TRUE(other == row || at::equal(rows[other], before[other]));
  }
}

// One, two and three levels of eight rows, side by side and apart, from an odd address, on an output of its
// own or a row.
TYPED_TEST(TreeSumTest, MoreRowsAreSumsOfSums) {
  for (const int count : {1, 8, 9, 20, 70}) {
    for (const std::int64_t begin : {0, 1}) {
      const at::Tensor drawn = draw(count, this->kDtype);
      const at::Tensor expected = cpu_tree(drawn.narrow(1, begin, 100).contiguous(), 100);
      const at::Tensor rows = drawn.narrow(1, begin, 100);
      at::Tensor sum = at::empty({100}, rows.options());
      sum_rows_in_tree(sum, rows);
      EXPECT_TRUE(at::equal(sum, expected)) << count << " rows";
      rows.copy_(draw(count, this->kDtype).narrow(1, begin, 100));
      sum_rows_in_tree(rows[count - 1], rows);
      EXPECT_TRUE(at::equal(rows[count - 1], expected)) << count << " rows in place";
      rows.copy_(draw(count, this->kDtype).narrow(1, begin, 100));
      at::Tensor by_operators = at::empty({100}, rows.options());
      sum_rows_by_operators(by_operators, rows, ReductionOrder::kTree);
      EXPECT_TRUE(at::equal(by_operators, expected)) << count << " rows by operators";
    }
  }
}

// Operators, for which integers are as good as old GPUs.
TEST(SumRowsInTreeTest, TakesWhatTheKernelDoesNot) {
  for (const int count : {1, 5, 8, 20}) {
    const at::Tensor drawn = at::arange(count * 40, at::kLong).view({count, 40});
    const at::Tensor expected = drawn.narrow(1, 1, 30).sum(0);
    const at::Tensor rows = drawn.narrow(1, 1, 30);
    at::Tensor sum = at::empty({30}, rows.options());
    sum_rows_in_tree(sum, rows.clone());
    EXPECT_TRUE(at::equal(sum, expected)) << count;
    sum_rows_in_tree(rows[count / 2], rows);
    EXPECT_TRUE(at::equal(rows[count / 2], expected)) << count << " in place";
  }
}

TEST(TreeSumCallTest, RefusesWhatItCannotDo) {
  const at::Tensor rows = at::zeros({9, 4});
  const auto call = [&](at::ScalarType dtype, int count) {
    tree_sum_on_cpu({dtype, rows.mutable_data_ptr(), rows.const_data_ptr(), 4, 4, count});
  };
  EXPECT_NO_THROW(call(at::kFloat, kTreeSumRows));
  EXPECT_THROW(call(at::kFloat, kTreeSumRows + 1), std::invalid_argument);
  EXPECT_THROW(call(at::kFloat, 0), std::invalid_argument);
  EXPECT_THROW(call(at::kLong, 2), std::invalid_argument);
  EXPECT_FALSE(has_tree_sum(at::kLong));
}

}  // namespace
}  // namespace lockstep

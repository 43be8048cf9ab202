// What NCCL does between GPUs, done by hand between ranks of this thread: pieces scattered, added up,
// gathered.
#include "comm/tree_exchange.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <vector>

#include "comm/fold.h"
#include "comm/sum_rows.h"

namespace lockstep {
namespace {

// Random values of very different sizes, so that the order shows in the last bits.
std::vector<at::Tensor> draw(int world_size, std::int64_t count, at::ScalarType dtype) {
  at::manual_seed(5);
  std::vector<at::Tensor> tensors;
  for (int rank = 0; rank < world_size; ++rank)
    tensors.push_back(at::randn({count}).mul(at::randn({count}).exp()).to(dtype));
  return tensors;
}

// The CPU's tree over all of them.
at::Tensor cpu_tree(const std::vector<at::Tensor>& tensors) {
  at::Tensor sum = at::empty_like(tensors[0]);
  std::vector<const void*> inputs;
  for (const at::Tensor& tensor : tensors) inputs.push_back(tensor.const_data_ptr());
  void* const into = sum.mutable_data_ptr();
  fold_inputs({&into, 1}, inputs, 0, sum.numel(),
              {.dtype = sum.scalar_type(), .order = ReductionOrder::kTree});
  return sum;
}

void scatter_and_add_up(std::vector<TreeExchange>& exchanges) {
  const int world_size = static_cast<int>(exchanges.size());
  for (int from = 0; from < world_size; ++from) {
    for (int to = 0; to < world_size; ++to) {
      if (from == to) continue;
      const at::Tensor place = exchanges[static_cast<std::size_t>(to)].place(from);
      const at::Tensor piece = exchanges[static_cast<std::size_t>(from)].piece(to);
      ASSERT_EQ(place.sizes(), piece.sizes());
      ASSERT_TRUE(place.is_contiguous() && piece.is_contiguous());
      place.copy_(piece);
    }
  }
  for (TreeExchange& exchange : exchanges) exchange.add_up();
}

void all_reduce(const std::vector<at::Tensor>& tensors) {
  const int world_size = static_cast<int>(tensors.size());
  std::vector<TreeExchange> exchanges;
  for (int rank = 0; rank < world_size; ++rank)
    exchanges.emplace_back(tensors[static_cast<std::size_t>(rank)], rank, world_size);
  scatter_and_add_up(exchanges);
  std::vector<at::Tensor> sums;
  for (const TreeExchange& exchange : exchanges) sums.push_back(exchange.sum().clone());
  for (TreeExchange& exchange : exchanges) {
    exchange.prepare_to_gather();
    exchange.gathered().copy_(at::cat(sums));
    exchange.finish();
  }
}

TEST(TreeExchangeTest, HasTheBitsOfTheCpusTree) {
  for (const at::ScalarType dtype : {at::kFloat, at::kDouble, at::kHalf, at::kBFloat16}) {
    for (const int world_size : {2, 3, 5, 7, 8}) {
      // Nothing for some ranks, a short last piece, and pieces of equal size.
      for (const std::int64_t count : {1, 9, 1001, 8 * 16 * world_size}) {
        const std::vector<at::Tensor> tensors = draw(world_size, count, dtype);
        const at::Tensor expected = cpu_tree(tensors);
        all_reduce(tensors);
        for (const at::Tensor& tensor : tensors) {
          ASSERT_TRUE(at::equal(tensor, expected))
              << count << " " << c10::toString(dtype) << " over " << world_size;
        }
      }
    }
  }
}

TEST(TreeExchangeTest, TheOrderIsOneThatShows) {
  // In float32 1e8 + 1 = 1e8: ((1e8 + 1) + (-1e8 + 1)) + 1 = 1, and from the left it would be 2.
  std::vector<at::Tensor> tensors;
  for (const float value : {1e8F, 1.0F, -1e8F, 1.0F, 1.0F}) tensors.push_back(at::full({1}, value));
  all_reduce(tensors);
  EXPECT_EQ(tensors[0].item<float>(), 1.0F);
}

TEST(TreeExchangeTest, ScattersBlocks) {
  constexpr int kRanks = 3;
  constexpr std::int64_t kBlock = 7;
  std::vector<at::Tensor> tensors = draw(kRanks, kRanks * kBlock, at::kFloat);
  const at::Tensor expected = cpu_tree(tensors);
  std::vector<TreeExchange> exchanges;
  for (int rank = 0; rank < kRanks; ++rank)
    exchanges.emplace_back(tensors[static_cast<std::size_t>(rank)], rank, kRanks, kBlock);
  scatter_and_add_up(exchanges);
  for (int rank = 0; rank < kRanks; ++rank) {
    EXPECT_TRUE(at::equal(exchanges[static_cast<std::size_t>(rank)].sum(),
                          expected.narrow(0, rank * kBlock, kBlock)));
  }
}

TEST(SumRowsInTreeTest, AddsRowsThatLieApart) {
  const std::vector<at::Tensor> tensors = draw(6, 100, at::kFloat);
  const at::Tensor wide = at::zeros({6, 128});
  for (int row = 0; row < 6; ++row) wide[row].narrow(0, 0, 100).copy_(tensors[static_cast<std::size_t>(row)]);
  sum_rows_in_tree(wide[0].narrow(0, 0, 100), wide.narrow(1, 0, 100));
  EXPECT_TRUE(at::equal(wide[0].narrow(0, 0, 100), cpu_tree(tensors)));
  EXPECT_TRUE(at::equal(wide.narrow(1, 100, 28), at::zeros({6, 28})));
}

// A rank's rows are a subtree where their number is a power of two: what NCCL's all_reduce_rows() relies on.
TEST(SumRowsInTreeTest, PowersOfTwoAreSubtrees) {
  for (const int rows_per_rank : {1, 2, 4}) {
    for (const int world_size : {2, 3, 5}) {
      const std::vector<at::Tensor> all = draw(rows_per_rank * world_size, 33, at::kFloat);
      std::vector<at::Tensor> sums;
      for (int rank = 0; rank < world_size; ++rank) {
        const auto first = all.begin() + rank * rows_per_rank;
        const at::Tensor rows = at::stack(std::vector<at::Tensor>(first, first + rows_per_rank));
        sums.push_back(at::empty_like(rows[0]));
        sum_rows_in_tree(sums.back(), rows);
      }
      EXPECT_TRUE(at::equal(cpu_tree(sums), cpu_tree(all))) << rows_per_rank << " on " << world_size;
    }
  }
}

}  // namespace
}  // namespace lockstep

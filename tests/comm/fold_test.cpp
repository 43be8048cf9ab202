#include "comm/fold.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <array>
#include <vector>

namespace lockstep {
namespace {

std::vector<const void*> pointers_to(const std::vector<at::Tensor>& tensors) {
  std::vector<const void*> pointers;
  for (const at::Tensor& tensor : tensors) pointers.push_back(tensor.const_data_ptr());
  return pointers;
}

std::vector<at::Tensor> random_inputs(int world_size, std::int64_t count, at::ScalarType dtype) {
  at::manual_seed(7);
  std::vector<at::Tensor> inputs;
  for (int rank = 0; rank < world_size; ++rank) inputs.push_back(at::randn({count}).mul(100).to(dtype));
  return inputs;
}

// LibTorch's own arithmetic, one operation a time, which rounds to the dtype after each.
at::Tensor left_fold(const std::vector<at::Tensor>& inputs, const std::vector<int>& order, double scale) {
  at::Tensor sum;
  for (const int rank : order) {
    at::Tensor input = inputs[static_cast<std::size_t>(rank)];
    if (scale != 1.0) input = input.mul(scale);
    sum = sum.defined() ? sum.add(input) : input.clone();
  }
  return sum;
}

at::Tensor tree_fold(const std::vector<at::Tensor>& inputs) {
  if (inputs.size() == 1) return inputs[0];
  std::size_t left = 1;
  while (left * 2 < inputs.size()) left *= 2;
  const auto middle = inputs.begin() + static_cast<std::ptrdiff_t>(left);
  return tree_fold({inputs.begin(), middle}).add(tree_fold({middle, inputs.end()}));
}

TEST(FoldRanksTest, IsTheLeftFoldThatItClaims) {
  // With float32, 1e8 + 1 = 1e8, so the order shows. One element is chunk 0: ranks 2, 1, 0.
  const auto fold = [](std::array<float, 3> inputs) {
    const void* pointers[3] = {&inputs[0], &inputs[1], &inputs[2]};
    float result = 0;
    void* into = &result;
    fold_ranks({&into, 1}, pointers, 0, 1, ring_chunks(1, 4, 3), {});
    return result;
  };
  EXPECT_EQ(fold({1.0F, 1e8F, -1e8F}), 1.0F);  // (-1e8 + 1e8) + 1
  EXPECT_EQ(fold({1e8F, 1.0F, -1e8F}), 0.0F);  // (-1e8 + 1) + 1e8
}

TEST(FoldRanksTest, EveryChunkHasItsOwnFirstRank) {
  for (const at::ScalarType dtype : {at::kFloat, at::kDouble, at::kHalf, at::kBFloat16}) {
    for (const int world_size : {2, 3, 4, 5, 8}) {
      const std::int64_t count = 3001;
      const double scale = 1.0 / world_size;
      const auto inputs = random_inputs(world_size, count, dtype);
      const auto element_bytes = static_cast<std::int64_t>(c10::elementSize(dtype));
      const RingChunks chunks = ring_chunks(count, element_bytes, world_size);
      at::Tensor expected = at::empty({count}, at::TensorOptions().dtype(dtype));
      for (int chunk = 0; chunk < world_size; ++chunk) {
        std::vector<int> order;
        for (int hop = 1; hop <= world_size; ++hop) order.push_back((chunk + world_size - hop) % world_size);
        const std::int64_t begin = chunks.begin(chunk);
        const std::int64_t length = chunks.end(chunk) - begin;
        expected.narrow(0, begin, length).copy_(left_fold(inputs, order, scale).narrow(0, begin, length));
      }
      const at::Tensor result = at::zeros_like(expected);
      void* const into = result.data_ptr();
      // In two goes that meet in the middle of a chunk.
      for (const auto& [begin, end] : {std::pair<std::int64_t, std::int64_t>{0, 1234}, {1234, count}}) {
        fold_ranks({&into, 1}, pointers_to(inputs), begin, end, chunks, {.dtype = dtype, .scale = scale});
      }
      EXPECT_TRUE(at::equal(result, expected)) << c10::toString(dtype) << " over " << world_size;
    }
  }
}

TEST(FoldInputsTest, TreeSplitsAtPowersOfTwo) {
  for (const at::ScalarType dtype : {at::kFloat, at::kDouble, at::kHalf, at::kBFloat16}) {
    for (const int world_size : {1, 2, 3, 4, 5, 6, 7, 8, 13}) {
      const auto inputs = random_inputs(world_size, 2500, dtype);
      const at::Tensor result = at::zeros({2500}, at::TensorOptions().dtype(dtype));
      void* const into = result.data_ptr();
      fold_inputs({&into, 1}, pointers_to(inputs), 0, 2500, {.dtype = dtype, .order = ReductionOrder::kTree});
      EXPECT_TRUE(at::equal(result, tree_fold(inputs))) << c10::toString(dtype) << " over " << world_size;
    }
  }
}

TEST(FoldInputsTest, WritesToAllOutputsWhichMayBeTheInputs) {
  for (const int world_size : {2, 3}) {
    const auto inputs = random_inputs(world_size, 1500, at::kFloat);
    at::Tensor expected = inputs[0];
    for (int rank = 1; rank < world_size; ++rank)
      expected = expected.add(inputs[static_cast<std::size_t>(rank)]);
    std::vector<void*> outputs;
    std::vector<at::Tensor> places;
    for (const at::Tensor& input : inputs) {
      places.push_back(input.clone());
      outputs.push_back(places.back().data_ptr());
    }
    fold_inputs(outputs, pointers_to(places), 10, 1500, {});
    for (std::size_t rank = 0; rank < places.size(); ++rank) {
      EXPECT_TRUE(at::equal(places[rank].narrow(0, 10, 1490), expected.narrow(0, 10, 1490)));
      EXPECT_TRUE(at::equal(places[rank].narrow(0, 0, 10), inputs[rank].narrow(0, 0, 10)));  // untouched
    }
  }
}

TEST(FoldInputsTest, RoundsHalfPrecisionOncePerOperand) {
  const at::Tensor into = at::full({1}, 2048.0, at::kHalf);
  const at::Tensor one = at::full({1}, 1.0, at::kHalf);
  void* const output = into.data_ptr();
  const std::array<const void*, 2> inputs{into.data_ptr(), one.data_ptr()};
  // 2049 lies between the halves 2048 and 2050, and ties go to even.
  fold_inputs({&output, 1}, inputs, 0, 1, {.dtype = at::kHalf});
  EXPECT_EQ(into.item<float>(), 2048.0F);
}

// Every half and bfloat16 there is, through the conversions that the kernels make by themselves.
TEST(FoldInputsTest, ConvertsEveryHalfAsLibTorchDoes) {
  const at::Tensor bits = at::arange(65536, at::kInt).to(at::kUInt16);
  for (const at::ScalarType dtype : {at::kHalf, at::kBFloat16}) {
    const at::Tensor all = bits.view(dtype);
    for (const double other : {0.0, 1.0, 0.333, -2.5e-5, 6.0e4}) {
      const at::Tensor addend = at::full_like(all, other);
      const at::Tensor result = at::empty_like(all);
      void* const output = result.data_ptr();
      const std::array<const void*, 2> inputs{all.const_data_ptr(), addend.const_data_ptr()};
      fold_inputs({&output, 1}, inputs, 0, all.numel(), {.dtype = dtype});
      const at::Tensor expected = all.add(addend);
      EXPECT_TRUE(at::allclose(result.to(at::kFloat), expected.to(at::kFloat), 0, 0, /*equal_nan=*/true))
          << c10::toString(dtype) << " + " << other;
    }
  }
}

TEST(FoldInputsTest, RefusesOtherDtypes) {
  bool a = true;
  void* const into = &a;
  const std::array<const void*, 2> inputs{&a, &a};
  EXPECT_THROW(fold_inputs({&into, 1}, inputs, 0, 1, {.dtype = at::kBool}), std::invalid_argument);
}

}  // namespace
}  // namespace lockstep

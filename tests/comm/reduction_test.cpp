#include "comm/reduction.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace lockstep {
namespace {

TEST(RingChunksTest, FollowsGloosFormula) {
  // 10 floats on 3 ranks: 40 bytes, max(1, 6) = 6 segments, ceil(40/6) = 7 rounded up to 8 bytes, 2 segments
  // per chunk.
  const RingChunks small = ring_chunks(10, 4, 3);
  EXPECT_EQ(small.chunk_elements, 4);
  EXPECT_EQ(small.begin(2), 8);
  EXPECT_EQ(small.end(2), 10);
  // 3,000,001 floats on 3 ranks: 12,000,004 bytes, ceil(/1 MiB) = 12 segments, 4 per chunk, 1,000,001 ->
  // 1,000,004 bytes.
  const RingChunks large = ring_chunks(3000001, 4, 3);
  EXPECT_EQ(large.chunk_elements, 4 * 1000004 / 4);
  EXPECT_EQ(large.end(2), 3000001);
}

TEST(RingChunksTest, CoversEveryElementOnce) {
  for (const int world_size : {1, 2, 3, 4, 5, 7, 8}) {
    for (const std::int64_t count : {0, 1, 2, 3, 17, 1000, 262145, 5000003}) {
      const RingChunks chunks = ring_chunks(count, 4, world_size);
      std::int64_t expected_begin = 0;
      for (int chunk = 0; chunk < world_size; ++chunk) {
        EXPECT_EQ(chunks.begin(chunk), expected_begin);
        expected_begin = chunks.end(chunk);
      }
      EXPECT_EQ(expected_begin, count) << count << " over " << world_size;
    }
  }
}

TEST(ReduceIntoTest, RoundsHalfPrecisionOncePerOperand) {
  const at::Tensor into = at::full({1}, 2048.0, at::kHalf);
  const at::Tensor one = at::full({1}, 1.0, at::kHalf);
  // 2049 lies between the halves 2048 and 2050, and ties go to even.
  reduce_into(into.data_ptr(), one.data_ptr(), 1, at::kHalf, ReduceOp::kSum);
  EXPECT_EQ(into.item<float>(), 2048.0F);
}

TEST(ReduceIntoTest, RefusesOtherDtypes) {
  bool a = true;
  bool b = false;
  EXPECT_THROW(reduce_into(&a, &b, 1, at::kBool, ReduceOp::kSum), std::invalid_argument);
}

TEST(ReduceInRingOrderTest, IsTheLeftFoldThatItClaims) {
  // With float32, 1e8 + 1 = 1e8, so the order shows. One element is chunk 0: ranks 2, 1, 0.
  const float inputs[3] = {1.0F, 1e8F, -1e8F};
  const void* pointers[3] = {&inputs[0], &inputs[1], &inputs[2]};
  float result = 0;
  reduce_in_ring_order(&result, pointers, 1, at::kFloat, ReduceOp::kSum);
  EXPECT_EQ(result, (inputs[2] + inputs[1]) + inputs[0]);  // 1
  const float swapped[3] = {1e8F, 1.0F, -1e8F};
  const void* swapped_pointers[3] = {&swapped[0], &swapped[1], &swapped[2]};
  reduce_in_ring_order(&result, swapped_pointers, 1, at::kFloat, ReduceOp::kSum);
  EXPECT_EQ(result, (swapped[2] + swapped[1]) + swapped[0]);  // (-1e8 + 1) + 1e8 = 0
  EXPECT_NE(result, 1.0F);
}

TEST(CheckCollectiveTensorTest, SaysWhatIsWrong) {
  const auto message = [](const at::Tensor& tensor) {
    try {
      check_collective_tensor(tensor, "all_reduce");
    } catch (const std::invalid_argument& error) {
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  EXPECT_EQ(message(at::zeros({2, 3})), "accepted");
  EXPECT_NE(message(at::Tensor()).find("undefined"), std::string::npos);
  EXPECT_NE(message(at::zeros({2, 3}).t()).find("not contiguous"), std::string::npos);
  EXPECT_NE(message(at::zeros({2}, at::kBool)).find("Bool"), std::string::npos);
  EXPECT_NE(message(at::zeros({2, 2}).to_sparse()).find("sparse"), std::string::npos);
  EXPECT_THROW(check_collective_blocks(at::zeros({2}), at::zeros({5}), 2, "all_gather"),
               std::invalid_argument);
}

}  // namespace
}  // namespace lockstep

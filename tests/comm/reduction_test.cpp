#include "comm/reduction.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

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

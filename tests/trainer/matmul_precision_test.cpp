#include "trainer/matmul_precision.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "tests/trainer/config/refusal.h"

namespace lockstep {
namespace {

// What torch.get_float32_matmul_precision() reads.
TEST(MatmulPrecision, IsLibTorchs) {
  const auto now = [] { return at::globalContext().float32MatmulPrecision(); };
  EXPECT_EQ(set_matmul_precision("highest", at::kCPU), "");
  EXPECT_EQ(now(), at::Float32MatmulPrecision::HIGHEST);
  EXPECT_NE(set_matmul_precision("high", at::Device("cuda:0")).find("TF32"), std::string::npos);
  EXPECT_EQ(now(), at::Float32MatmulPrecision::HIGH);
  EXPECT_TRUE(at::globalContext().allowTF32CuBLAS());
  EXPECT_NE(set_matmul_precision("medium", at::kCPU).find("bfloat16"), std::string::npos);
  EXPECT_EQ(now(), at::Float32MatmulPrecision::MEDIUM);
  set_matmul_precision("highest", at::kCPU);
  EXPECT_FALSE(at::globalContext().allowTF32CuBLAS());
  expect_refused([] { set_matmul_precision("low", at::kCPU); }, {"--matmul-precision low", "medium"});
}

}  // namespace
}  // namespace lockstep

#include "trainer/pinned_arithmetic.h"

#include <ATen/Context.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

namespace lockstep {
namespace {

using ::testing::HasSubstr;

TEST(PinnedArithmetic, SetsWhatIsNotSetAndSaysSo) {
  at::Context& context = at::globalContext();
  context.setBenchmarkCuDNN(true);
  unsetenv("CUBLAS_WORKSPACE_CONFIG");
  setenv("NCCL_NVLS_ENABLE", "2", 1);
  const std::string said = pin_cuda_arithmetic();
  EXPECT_TRUE(context.deterministicCuDNN());
  EXPECT_FALSE(context.benchmarkCuDNN());
  EXPECT_TRUE(context.deterministicAlgorithms());
  EXPECT_TRUE(context.deterministicAlgorithmsWarnOnly());
  EXPECT_STREQ(std::getenv("CUBLAS_WORKSPACE_CONFIG"), ":4096:8");
  EXPECT_STREQ(std::getenv("NCCL_NVLS_ENABLE"), "2");
  EXPECT_THAT(said, HasSubstr("CUBLAS_WORKSPACE_CONFIG=:4096:8, NCCL_NVLS_ENABLE=2"));
  context.setDeterministicAlgorithms(false, false);
  context.setDeterministicCuDNN(false);
  unsetenv("CUBLAS_WORKSPACE_CONFIG");
  unsetenv("NCCL_NVLS_ENABLE");
}

}  // namespace
}  // namespace lockstep

#include "comm/nccl_library.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

namespace lockstep {
namespace {

using ::testing::Contains;
using ::testing::Pair;

TEST(NcclLibraryTest, TheVersionIsThatOfTheLoadedLibrary) {
  void* function = find_nccl_function("ncclGetVersion");
  ASSERT_NE(function, nullptr);
  int version = 0;
  ASSERT_EQ(reinterpret_cast<int (*)(int*)>(function)(&version), 0);
  EXPECT_GT(version, 20000);
  EXPECT_EQ(nccl_version(), version);
  EXPECT_EQ(find_nccl_function("ncclDoesNotExist"), nullptr);
}

TEST(NcclLibraryTest, ReadsVersionsAsNcclCodesThem) {
  EXPECT_EQ(nccl_version_text(22809), "2.28.9");
  EXPECT_EQ(nccl_version_text(23003), "2.30.3");
}

TEST(NcclLibraryTest, SharingKeepsWhatTheUserHasSet) {
  setenv("NCCL_MAX_CTAS", "4", 1);
  EXPECT_EQ(prepare_nccl_to_share_gpus(),
            "NCCL_MULTI_RANK_GPU_ENABLE=1, NCCL_MAX_CTAS=4, NCCL_NVLS_ENABLE=0");
  EXPECT_THAT(nccl_environment(), Contains(Pair("NCCL_MAX_CTAS", "4")));
  EXPECT_THAT(nccl_environment(), Contains(Pair("NCCL_MULTI_RANK_GPU_ENABLE", "1")));
  for (const char* name : {"NCCL_MULTI_RANK_GPU_ENABLE", "NCCL_MAX_CTAS", "NCCL_NVLS_ENABLE"}) unsetenv(name);
}

TEST(NcclLibraryTest, OrderingLaunchesKeepsWhatTheUserHasSet) {
  order_nccl_launches();
  EXPECT_THAT(nccl_environment(), Contains(Pair("NCCL_LAUNCH_ORDER_IMPLICIT", "1")));
  setenv("NCCL_LAUNCH_ORDER_IMPLICIT", "0", 1);
  order_nccl_launches();
  EXPECT_THAT(nccl_environment(), Contains(Pair("NCCL_LAUNCH_ORDER_IMPLICIT", "0")));
  unsetenv("NCCL_LAUNCH_ORDER_IMPLICIT");
}

}  // namespace
}  // namespace lockstep

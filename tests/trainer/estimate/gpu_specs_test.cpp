#include "trainer/estimate/gpu_specs.h"

#include <gtest/gtest.h>

namespace lockstep {
namespace {

TEST(GpuSpecs, AreFoundByAPriceTablesNames) {
  EXPECT_EQ(find_gpu_spec("A100")->memory_gib, 40);
  EXPECT_EQ(find_gpu_spec("a100-pay-as-you-go")->name, "A100");
  EXPECT_EQ(find_gpu_spec("A100-80GB")->name, "A100");
  EXPECT_EQ(find_gpu_spec("A10G")->name, "A10");
  EXPECT_EQ(find_gpu_spec("L40S")->name, "L40S");
  EXPECT_EQ(find_gpu_spec("L4")->name, "L4");
  EXPECT_EQ(find_gpu_spec("V100")->fp32_tflops, 15.7);
}

TEST(GpuSpecs, WhatIsNotKnownIsNone) {
  for (const char* name : {"", "TPU-v3", "A1", "A1000", "L40", "H1000"})
    EXPECT_FALSE(find_gpu_spec(name)) << name;
}

}  // namespace
}  // namespace lockstep

#include "trainer/nvml/nvml.h"

#include <gtest/gtest.h>
#include <stdlib.h>

namespace lockstep {
namespace {

TEST(Nvml, ReadsWhatTheDriverSays) {
  const auto nvml = Nvml::load(FAKE_NVML);
  ASSERT_NE(nvml, nullptr);
  const auto gpus = nvml->read();
  ASSERT_EQ(gpus.size(), 2u);
  EXPECT_EQ(gpus[0].index, 0);
  EXPECT_EQ(gpus[0].name, "NVIDIA \"H200\"");
  EXPECT_DOUBLE_EQ(*gpus[0].utilization, 0.87);
  EXPECT_EQ(*gpus[0].memory_total_bytes, 141.0 * (1 << 30));
  EXPECT_EQ(*gpus[0].memory_used_bytes, 140.0 * (1 << 30));
  EXPECT_DOUBLE_EQ(*gpus[0].power_w, 693.5);
  EXPECT_EQ(*gpus[0].pcie_sent_bytes_per_s, 1.5e6);
  EXPECT_EQ(*gpus[0].pcie_received_bytes_per_s, 2.5e6);
  EXPECT_EQ(*gpus[0].nvlink_sent_bytes, 1024.0 * 1024);
  EXPECT_EQ(*gpus[0].nvlink_received_bytes, 2048.0 * 1024);
}

TEST(Nvml, WhatTheDriverDoesNotSayIsNone) {
  const auto gpus = Nvml::load(FAKE_NVML)->read();
  ASSERT_EQ(gpus.size(), 2u);
  EXPECT_EQ(gpus[1].memory_total_bytes, 16.0 * (1 << 30));
  EXPECT_FALSE(gpus[1].utilization);
  EXPECT_FALSE(gpus[1].power_w);
  EXPECT_FALSE(gpus[1].pcie_sent_bytes_per_s);
  EXPECT_FALSE(gpus[1].nvlink_sent_bytes);
}

TEST(Nvml, IsNullWithoutLibraryOrDriver) {
  EXPECT_EQ(Nvml::load("libno-such-library.so.1"), nullptr);
  EXPECT_EQ(Nvml::load("libz.so.1"), nullptr);  // a library, but another one
  setenv("FAKE_NVML_INIT", "9", 1);             // NVML_ERROR_DRIVER_NOT_LOADED
  EXPECT_EQ(Nvml::load(FAKE_NVML), nullptr);
  unsetenv("FAKE_NVML_INIT");
}

}  // namespace
}  // namespace lockstep

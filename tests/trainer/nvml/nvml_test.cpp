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

TEST(Nvml, DescribesWhatTheDriverFound) {
  const GpuSystem system = Nvml::load(FAKE_NVML)->describe();
  EXPECT_EQ(system.driver_version, "580.95.05");
  EXPECT_EQ(system.cuda_version, 13000);
  ASSERT_EQ(system.gpus.size(), 2u);
  const GpuDescription& gpu = system.gpus[0];
  EXPECT_EQ(gpu.pci_address, "0000:1b:00.0");
  EXPECT_EQ(gpu.compute_capability, 90);
  EXPECT_EQ(gpu.nvlinks, 4);
  EXPECT_EQ(gpu.pcie_generation, 5);
  EXPECT_EQ(gpu.pcie_width, 16);
  EXPECT_EQ(gpu.pcie_max_width, 16);
  EXPECT_EQ(gpu.sm_clock_mhz, 345);
  EXPECT_EQ(gpu.application_clock_mhz, 1980);
  EXPECT_EQ(gpu.max_sm_clock_mhz, 1980);
  EXPECT_EQ(gpu.slowed_down_by, 1u);
  EXPECT_EQ(gpu.persistence, true);
  EXPECT_EQ(system.gpus[1].pci_address, "0000:43:00.0");
  EXPECT_EQ(system.gpus[1].nvlinks, 0);
  EXPECT_FALSE(system.gpus[1].pcie_width);
  EXPECT_FALSE(system.gpus[1].persistence);
  ASSERT_EQ(system.pairs.size(), 1u);
  EXPECT_EQ(system.pairs[0].first, 0);
  EXPECT_EQ(system.pairs[0].second, 1);
  EXPECT_EQ(system.pairs[0].distance, GpuDistance::kHostBridge);
  EXPECT_EQ(system.pairs[0].peer_to_peer, true);
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

#include "tests/trainer/device_loader_cases.h"

namespace lockstep {
namespace {

TEST(DeviceLoader, ServesTheHostsBatchesOnTheCpu) {
  testing::check_device_loader(at::kCPU);
}

}  // namespace
}  // namespace lockstep

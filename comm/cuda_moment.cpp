#include <c10/cuda/CUDAEvent.h>
#include <c10/cuda/CUDAStream.h>

#include <cmath>

#include "comm/device_moment.h"

namespace lockstep {
namespace {

class CudaMoment final : public DeviceMoment {
 public:
  explicit CudaMoment(c10::DeviceIndex device) { event_.record(c10::cuda::getCurrentCUDAStream(device)); }
  void wait() const override { event_.synchronize(); }
  std::int64_t ns_since(const DeviceMoment& earlier) const override {
    const float ms = static_cast<const CudaMoment&>(earlier).event_.elapsed_time(event_);
    return std::llround(static_cast<double>(ms) * 1e6);
  }

 private:
  c10::cuda::CUDAEvent event_{cudaEventDefault};  // LibTorch's own default takes no times
};

}  // namespace

RecordMoment cuda_moments(c10::Device device) {
  return [index = device.index()] { return std::make_shared<const CudaMoment>(index); };
}

}  // namespace lockstep

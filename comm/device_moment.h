// DeviceMoment: when a device came to some place in one of its streams, by its own clock.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <functional>
#include <memory>

namespace lockstep {

class DeviceMoment {
 public:
  virtual ~DeviceMoment() = default;
  // Blocks the host until the device has come there.
  virtual void wait() const = 0;
  // From `earlier`, one of the same device, to this one. The device has come to both.
  virtual std::int64_t ns_since(const DeviceMoment& earlier) const = 0;
};

using DeviceMomentPtr = std::shared_ptr<const DeviceMoment>;

// Makes one behind what the current stream has queued; the host does not wait. From any thread, and never on
// a stream that is being captured.
using RecordMoment = std::function<DeviceMomentPtr()>;

// Of GPU `device`, by timing events. CUDA resolves half a microsecond and answers in float32 milliseconds,
// which keep that for 8 s after `earlier`; a minute after it they resolve 4 us.
RecordMoment cuda_moments(c10::Device device);

}  // namespace lockstep

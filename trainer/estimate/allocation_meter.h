// AllocationMeter: what LibTorch's CPU allocator has handed out.
#pragma once

#include <c10/core/Allocator.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace lockstep {

// Bytes that LibTorch's CPU allocator has handed out since the meter began, on the threads on which a
// c10::DebugInfoGuard of the kind PROFILER_STATE holds it.
class AllocationMeter : public c10::MemoryReportingInfoBase {
 public:
  void reportMemoryUsage(void*, std::int64_t size, std::size_t, std::size_t, c10::Device device) override {
    if (!device.is_cpu()) return;
    now_ += size;
    peak_ = std::max(peak_, now_);
  }
  bool memoryProfilingEnabled() const override { return true; }

  double now() const { return static_cast<double>(now_); }
  double peak() const { return static_cast<double>(peak_); }
  void forget_peak() { peak_ = now_; }

 private:
  std::int64_t now_ = 0;
  std::int64_t peak_ = 0;
};

}  // namespace lockstep

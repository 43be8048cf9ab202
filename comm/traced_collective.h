// TracedCollective: one collective in a DeviceTrace; DeviceTraced: whoever has them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "comm/device_trace.h"

namespace lockstep {

// Implemented by communicators whose collectives run on a device while the host goes on.
class DeviceTraced {
 public:
  virtual ~DeviceTraced() = default;
  // Collectives on device tensors that are queued from now on are added to `trace`; none if it is null, which
  // is how it begins.
  virtual void set_device_trace(std::shared_ptr<DeviceTrace> trace) = 0;
};

// Not of a stream that is being captured.
class TracedCollective {
 public:
  TracedCollective(std::shared_ptr<DeviceTrace> trace, const char* name, std::int64_t bytes);

  // Calls `body`, which queues the collective on the current stream, and adds it to the line of
  // communication: from when the stream has come so far to its end, waiting for the other ranks included.
  void queue(const std::function<void()>& body) const;
  // Calls `body`, which makes the current stream wait for it, and adds that to the line of computing.
  void wait(const std::function<void()>& body) const;

 private:
  void add(const std::function<void()>& body, TraceEvent event) const;

  std::shared_ptr<DeviceTrace> trace_;
  std::string title_;
  std::int64_t bytes_;
};

}  // namespace lockstep

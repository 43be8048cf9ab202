#include "comm/traced_collective.h"

#include <utility>

namespace lockstep {

TracedCollective::TracedCollective(std::shared_ptr<DeviceTrace> trace, const char* name, std::int64_t bytes)
    : trace_(std::move(trace)), title_(trace_->title(name)), bytes_(bytes) {}

void TracedCollective::queue(const std::function<void()>& body) const {
  add(body,
      {.name = title_, .category = "collective", .line = TraceEvent::kCommunicationLine, .bytes = bytes_});
}

void TracedCollective::wait(const std::function<void()>& body) const {
  add(body, {.name = "wait for " + title_, .category = "device", .line = TraceEvent::kComputeLine});
}

void TracedCollective::add(const std::function<void()>& body, TraceEvent event) const {
  const DeviceMomentPtr begin = trace_->mark();
  body();
  trace_->add(std::move(event), begin);
}

}  // namespace lockstep

#include "comm/device_trace.h"

#include <algorithm>
#include <cmath>

namespace lockstep {
namespace {

// The host may be interrupted between its two looks at the clock: the closest of ten counts.
constexpr int kReadings = 10;

}  // namespace

DeviceTrace::DeviceTrace(RecordMoment record, Clock now_ns)
    : record_(std::move(record)), now_ns_(now_ns), first_(read_clocks()) {}

// On a stream that has nothing left to do the device comes to a moment at once: while the host waits for it.
DeviceTrace::Reading DeviceTrace::read_clocks() const {
  mark()->wait();
  Reading closest;
  for (int i = 0; i < kReadings; ++i) {
    const std::int64_t before_ns = now_ns_();
    DeviceMomentPtr moment = mark();
    moment->wait();
    const std::int64_t uncertainty_ns = (now_ns_() - before_ns + 1) / 2;
    if (closest.moment && closest.uncertainty_ns <= uncertainty_ns) continue;
    closest = {std::move(moment), before_ns + uncertainty_ns, uncertainty_ns};
  }
  return closest;
}

DeviceMomentPtr DeviceTrace::add(TraceEvent event, DeviceMomentPtr begin) {
  DeviceMomentPtr end = mark();
  const std::scoped_lock lock(mutex_);
  spans_.push_back({std::move(event), std::move(begin), end});
  return end;
}

DeviceTrace::Times DeviceTrace::take() {
  std::vector<Span> spans;
  {
    const std::scoped_lock lock(mutex_);
    spans.swap(spans_);
  }
  const Reading last = read_clocks();
  const std::int64_t device_ns = last.moment->ns_since(*first_.moment);
  const double host_per_device =
      device_ns > 0 ? static_cast<double>(last.host_ns - first_.host_ns) / static_cast<double>(device_ns)
                    : 1.0;
  const auto host_ns = [&](const DeviceMoment& moment) {
    const auto since_first = static_cast<double>(moment.ns_since(*first_.moment));
    return first_.host_ns + std::llround(since_first * host_per_device);
  };
  Times times;
  times.uncertainty_ns = std::max(first_.uncertainty_ns, last.uncertainty_ns);
  for (Span& span : spans) {
    span.begin->wait();
    span.end->wait();  // on a stream of its own maybe, which nobody has waited for
    span.event.begin_ns = host_ns(*span.begin);
    span.event.duration_ns = host_ns(*span.end) - span.event.begin_ns;
    times.events.push_back(std::move(span.event));
  }
  return times;
}

std::string DeviceTrace::title(const char* collective) const {
  const std::scoped_lock lock(mutex_);
  return bucket_ ? std::string(collective) + " of bucket " + std::to_string(*bucket_) : collective;
}

void DeviceTrace::set_bucket(std::optional<std::size_t> bucket) {
  const std::scoped_lock lock(mutex_);
  bucket_ = bucket;
}

}  // namespace lockstep

// ReplayWatch: what a communicator has to know of steps that are captured in a CUDA graph and replayed.
#pragma once

#include <cstdint>
#include <string>

namespace lockstep {

// Implemented by communicators whose collectives may be captured. While the current stream is capturing, a
// collective is recorded and not done: its Work may be waited for within the capture only, and no timeout
// runs for it. A replay does the collectives without any call into the communicator, so it is announced here
// instead. All graphs are destroyed before the communicator leaves in good order (shutdown()) or is
// destroyed; after a failure, as soon as it is known.
class ReplayWatch {
 public:
  virtual ~ReplayWatch() = default;

  // To be called behind each replay, with the stream that it was queued on as the current one: `what` then
  // counts as a collective that ends when the stream has come so far, with the timeout of all others, and
  // `bytes_sent` as sent. Throws CommError if the communicator has failed.
  virtual void watch_replay(const std::string& what, std::int64_t bytes_sent) = 0;
  // Throws CommError if it has, in which case what a replay has computed is worth nothing.
  virtual void throw_if_failed() = 0;
};

}  // namespace lockstep

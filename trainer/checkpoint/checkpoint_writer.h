// CheckpointWriter: brings snapshots to the disk while training goes on.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "trainer/checkpoint/checkpoint_manager.h"

namespace lockstep {

// How one write ended, after all its tries.
struct WriteEnd {
  std::int64_t step = 0;
  double write_time_s = 0.0;  // from start() until it was complete
  std::string failure;        // one line; empty: the checkpoint is complete and durable
};

// Saves in a thread of its own, one checkpoint at a time. A save that fails is tried again with new files
// after 1, 2, 4, ... times `first_wait`, `most` times; what was there before stays valid. Used by the
// training thread of rank 0.
class CheckpointWriter {
 public:
  struct Retries {
    int most = 5;
    std::chrono::milliseconds first_wait{1000};
  };
  enum class State {
    kIdle,     // nothing to write, or a WriteEnd to be taken
    kWriting,  // a try is under way
    kWaiting   // a try has failed, and the next is not due yet: start() may give it a newer checkpoint
  };

  CheckpointWriter(RunDir run_dir, int keep_last, Retries retries);
  // Waits a few seconds at most for a save under way; what it has not completed by then is lost with the
  // process, as in a crash.
  ~CheckpointWriter();
  CheckpointWriter(const CheckpointWriter&) = delete;
  CheckpointWriter& operator=(const CheckpointWriter&) = delete;

  // Begins to write `checkpoint`, whose tensors nobody changes before hold() allows it. While kWaiting it
  // takes the place of the one that could not be written, which is dropped. Throws std::logic_error while
  // kWriting.
  void start(Checkpoint checkpoint);
  State state() const;
  // Waits until the snapshot is not being read, but no longer than `limit`; returns whether it is not. It may
  // then be changed: no further try begins before start(), or wait_until_idle().
  bool hold(std::chrono::milliseconds limit);
  // Waits until nothing is left to write, but no longer than `limit`; returns whether nothing is.
  bool wait_until_idle(std::chrono::milliseconds limit);
  // How the last write ended; each end is told once.
  std::optional<WriteEnd> take_end();
  // Lines that people should see, since the last call.
  std::vector<std::string> take_warnings();

 private:
  struct Shared;
  std::shared_ptr<Shared> shared_;  // with the thread, which may outlive this
};

}  // namespace lockstep

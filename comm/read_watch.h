// Hears of a tensor before an operation reads it.
#pragma once

#include <c10/core/StorageImpl.h>

#include <memory>

namespace lockstep {

class ReadListener {
 public:
  virtual ~ReadListener() = default;
  // Whether it still wants to hear.
  virtual bool listens() const = 0;
  // An operation of LibTorch on this thread is about to take a tensor that lies in `storage`. Must not throw.
  virtual void before_read(const c10::StorageImpl* storage) noexcept = 0;
};

// From now on `listener` hears of all that operations on this thread take, through LibTorch's own observers
// (at::RecordFunction), until it listens no more; that costs each operation 0.1 to 0.3 us. What reads memory
// by its address, other threads, and a scope in which those observers are off (at::RecordFunctionGuard), it
// does not hear of. To be called outside autograd's callbacks, whose guards would undo it.
void watch_reads(std::weak_ptr<ReadListener> listener);

}  // namespace lockstep

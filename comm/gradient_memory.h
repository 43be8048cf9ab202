// GradientMemory: has autograd make gradients where peers can read them.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "comm/shared_memory.h"

namespace lockstep {

// While it is active on a thread, what LibTorch allocates there inside a backward pass comes from shared
// memory if it has the size of a gradient. Autograd takes such a tensor over as .grad when nobody else holds
// it, so a gradient need not be copied to be shared. Other tensors of that size come from there, too, and go
// back as they would elsewhere; when there is no shared memory left, ordinary memory serves.
//
// Works through c10::SetCPUAllocator, from the first object on and for the rest of the process; a program
// that sets an allocator of its own later goes without. Tensors may outlive the object.
class GradientMemory {
 public:
  // What an active thread looks at; the allocator's business.
  struct Sizes {
    std::shared_ptr<SharedMemory> memory;
    std::vector<std::int64_t> bytes;  // sorted
  };

  // Small gradients are cheaper to copy than to find a page for.
  static constexpr std::int64_t kSmallestBytes = 64 << 10;

  // `gradient_bytes`: the sizes to look out for; those below kSmallestBytes are ignored.
  GradientMemory(std::shared_ptr<SharedMemory> memory, const std::vector<std::int64_t>& gradient_bytes);
  ~GradientMemory();
  GradientMemory(const GradientMemory&) = delete;
  GradientMemory& operator=(const GradientMemory&) = delete;

  // For this thread, in place of another one that may be active; until deactivate() or the end of this
  // object.
  void activate();
  void deactivate();

 private:
  std::shared_ptr<const Sizes> sizes_;
};

}  // namespace lockstep

// Memory that NCCL moves without a copy, for gradient buckets.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace lockstep {

// How much NCCL is told about a buffer.
enum class NcclMemoryKind {
  kOrdinary,    // nothing: LibTorch's allocator
  kRegistered,  // ncclMemAlloc and ncclCommRegister
  kSymmetric,   // ncclMemAlloc and ncclCommWindowRegister: the same buffer on all ranks, seen as one
};

struct NcclMemoryChoice {
  NcclMemoryKind kind = NcclMemoryKind::kOrdinary;  // the best that may be tried
  bool required = false;                            // no other will do
};

// "auto" (the best that the library of `version` has), "ordinary", "registered" or "symmetric". Throws
// std::invalid_argument for another name, or one that this version is too old for, naming both versions.
NcclMemoryChoice choose_nccl_memory(const std::string& name, int version);

// Whether collectives on such memory may be left to the GPUs' copy engines, which takes symmetric windows.
bool spares_sms(NcclMemoryKind kind, int version);

// NCCL's calls, and what is needed around them. Those that answer with an int answer 0 for success.
struct NcclMemoryCalls {
  std::function<int(void** data, std::size_t bytes)> allocate;
  std::function<int(void* data)> free;
  std::function<int(void* data, std::size_t bytes, void** handle)> add_buffer;
  std::function<int(void* handle)> remove_buffer;
  std::function<int(void* data, std::size_t bytes, void** handle)>
      add_window;  // no handle: not possible here
  std::function<int(void* handle)> remove_window;
  std::function<void()> wait_for_device;  // until nothing queued can use memory any more
  std::function<bool(bool)> all_ranks;    // whether it is so on all ranks; a collective
};

// NCCL requires that a buffer is registered on all ranks or on none, so allocate() is a collective, and what
// one rank cannot have none takes. Memory is given back in the next allocate(), where all ranks do it in the
// same order, once the device is idle: NCCL forbids to free a buffer that is registered or in use.
class NcclMemory : public std::enable_shared_from_this<NcclMemory> {
 public:
  // `warn` is told once of each kind that cannot be had. It is to be made by std::make_shared.
  NcclMemory(NcclMemoryChoice choice, NcclMemoryCalls calls, std::function<void(const std::string&)> warn);

  // Uninitialised; the tensor may outlive close() and keeps this object alive. Throws std::invalid_argument
  // if a kind was required and cannot be had.
  at::Tensor allocate(at::IntArrayRef sizes, const at::TensorOptions& options);
  NcclMemoryKind kind() const { return kind_; }
  // Of ncclMemAlloc and not freed yet, as they were asked for.
  std::int64_t allocated_bytes() const;

  // Before the communicator goes in good order, the device being idle: takes everything out of it, on all
  // ranks in one order. What a captured graph has used stays known to NCCL until ncclCommFinalize, so that
  // nothing is freed yet.
  void take_out();
  // After that: from now on memory is freed as tensors die.
  void close();
  // The communicator is gone, and what was registered with it.
  void drop() noexcept;

 private:
  struct Block {
    void* data = nullptr;
    std::size_t bytes = 0;
    void* handle = nullptr;
    bool is_window = false;
    bool returned = false;
  };

  // Registers, or comes down to a lesser kind together with all other ranks. False: ordinary memory it is.
  bool add(Block& block, std::size_t bytes);
  void come_down_to(NcclMemoryKind kind, const std::string& why);
  void remove(Block& block);
  void free_returned();
  void give_back(void* data) noexcept;

  NcclMemoryChoice choice_;
  NcclMemoryKind kind_;
  NcclMemoryCalls calls_;
  std::function<void(const std::string&)> warn_;
  mutable std::mutex mutex_;  // guards what follows: tensors may die on any thread
  bool open_ = true;
  std::vector<Block> blocks_;  // as they were allocated
};

}  // namespace lockstep

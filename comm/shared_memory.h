// SharedMemory: what ranks on one machine have beyond messages, a segment each that all of them map.
#pragma once

#include <ATen/core/Tensor.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "comm/communicator.h"

namespace lockstep {

// What processes that can share memory have in common: one kernel that runs, and one network namespace, which
// abstract sockets do not leave. Host names say neither.
std::string machine_identity();

// Each rank makes an anonymous file (memfd_create), sends its descriptor to the others over an abstract Unix
// socket and maps theirs: nothing has a name that a kill could leave behind. Memory is reserved with
// fallocate() before it is handed out, so that a machine without any left gives an error and no SIGBUS.
//
// allocate() and deallocate() may be called from any thread. The mapping lives as long as this object.
class SharedMemory : public std::enable_shared_from_this<SharedMemory> {
 public:
  // A place in somebody's segment.
  using Offset = std::int64_t;

  struct Created {
    std::shared_ptr<SharedMemory> memory;  // null where it cannot be had,
    std::string problem;                   // and why, the same on all ranks
  };
  // A collective of all ranks of `communicator`, over which they find each other. `head_bytes` at the start
  // of each segment are zeroed and left to the caller.
  static Created create(Communicator& communicator, std::int64_t head_bytes,
                        std::chrono::milliseconds timeout);
  ~SharedMemory();
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;

  int rank() const { return rank_; }
  int world_size() const { return static_cast<int>(bases_.size()); }

  // Rank `rank`'s segment as it is mapped here.
  std::byte* at(int rank, Offset offset) const { return bases_[static_cast<std::size_t>(rank)] + offset; }
  // Whether `bytes` from `data` on lie in this rank's own segment.
  bool contains(const void* data, std::int64_t bytes) const {
    const auto* begin = static_cast<const std::byte*>(data);
    return begin >= bases_[static_cast<std::size_t>(rank_)] &&
           begin + bytes <= bases_[static_cast<std::size_t>(rank_)] + segment_bytes_;
  }
  Offset offset_of(const void* data) const {
    return static_cast<const std::byte*>(data) - bases_[static_cast<std::size_t>(rank_)];
  }

  // Memory of this rank's segment, on a page of its own; null if none can be had.
  void* allocate(std::int64_t bytes);
  // Gives back what allocate() returned. What lies there may be overwritten at once.
  void deallocate(void* data);
  // An uninitialised tensor in this rank's segment, which keeps the mapping alive; undefined if there is no
  // room.
  at::Tensor allocate_tensor(at::IntArrayRef sizes, const at::TensorOptions& options);

  // The ranks that are gone. Never blocks.
  std::vector<int> departed_ranks() const;

 private:
  SharedMemory() = default;
  void make_segment(std::int64_t head_bytes);
  void exchange_segments(Communicator& communicator, std::chrono::milliseconds timeout);
  void map_segment(int rank, int descriptor);
  bool reserve(std::int64_t bytes);

  int rank_ = 0;
  std::int64_t segment_bytes_ = 0;
  int descriptor_ = -1;            // of this rank's segment
  std::vector<std::byte*> bases_;  // by rank
  std::vector<int> connections_;   // by rank, a socket that ends with its process; -1 for oneself
  std::vector<int> accepted_;      // the other ends, kept for the peers

  std::mutex mutex_;
  std::int64_t reserved_bytes_ = 0;      // of this rank's segment; beyond it nothing was handed out
  std::map<Offset, std::int64_t> free_;  // blocks by place, none next to another
  std::map<Offset, std::int64_t> used_;  // blocks by place
};

}  // namespace lockstep

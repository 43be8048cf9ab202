#include "comm/nccl_memory.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "comm/nccl_library.h"

namespace lockstep {
namespace {

const char* name_of(NcclMemoryKind kind) {
  switch (kind) {
    case NcclMemoryKind::kOrdinary:
      return "ordinary";
    case NcclMemoryKind::kRegistered:
      return "registered";
    case NcclMemoryKind::kSymmetric:
      return "symmetric";
  }
  throw std::logic_error("a kind of memory that has no name");
}

int first_version_with(NcclMemoryKind kind) {
  switch (kind) {
    case NcclMemoryKind::kOrdinary:
      return 0;
    case NcclMemoryKind::kRegistered:
      return kNcclRegistersBuffers;
    case NcclMemoryKind::kSymmetric:
      return kNcclHasWindows;
  }
  throw std::logic_error("a kind of memory that has no version");
}

}  // namespace

NcclMemoryChoice choose_nccl_memory(const std::string& name, int version) {
  for (const NcclMemoryKind kind :
       {NcclMemoryKind::kSymmetric, NcclMemoryKind::kRegistered, NcclMemoryKind::kOrdinary}) {
    const int needed = first_version_with(kind);
    // Windows where they are asked for: a failure to make one ends a communicator, and no run on a GPU has
    // shown yet what they bring.
    if (name == "auto" && kind != NcclMemoryKind::kSymmetric && version >= needed) return {kind, false};
    if (name != name_of(kind)) continue;
    if (version >= needed) return {kind, true};
    throw std::invalid_argument("--nccl-memory " + name + ": needs NCCL " + nccl_version_text(needed) +
                                " or newer, and " + nccl_version_text(version) + " is loaded; use auto");
  }
  throw std::invalid_argument("--nccl-memory " + name +
                              " is unknown; known are auto, ordinary, registered, symmetric");
}

bool spares_sms(NcclMemoryKind kind, int version) {
  return kind == NcclMemoryKind::kSymmetric && version >= kNcclSparesSms;
}

NcclMemory::NcclMemory(NcclMemoryChoice choice, NcclMemoryCalls calls,
                       std::function<void(const std::string&)> warn)
    : choice_(choice), kind_(choice.kind), calls_(std::move(calls)), warn_(std::move(warn)) {}

at::Tensor NcclMemory::allocate(at::IntArrayRef sizes, const at::TensorOptions& options) {
  free_returned();
  std::size_t bytes = options.dtype().itemsize();
  for (const std::int64_t size : sizes) bytes *= static_cast<std::size_t>(size);
  if (kind_ == NcclMemoryKind::kOrdinary || bytes == 0) return at::empty(sizes, options);
  Block block{.bytes = bytes};
  const int answer = calls_.allocate(&block.data, bytes);
  if (!calls_.all_ranks(answer == 0)) {
    if (answer == 0) calls_.free(block.data);
    come_down_to(NcclMemoryKind::kOrdinary, "ncclMemAlloc failed on some rank");
    return at::empty(sizes, options);
  }
  if (!add(block, bytes)) {
    calls_.free(block.data);
    return at::empty(sizes, options);
  }
  {
    const std::scoped_lock lock(mutex_);
    blocks_.push_back(block);
  }
  return at::from_blob(
      block.data, sizes, [self = shared_from_this()](void* data) { self->give_back(data); }, options);
}

std::int64_t NcclMemory::allocated_bytes() const {
  const std::scoped_lock lock(mutex_);
  std::int64_t bytes = 0;
  for (const Block& block : blocks_) bytes += static_cast<std::int64_t>(block.bytes);
  return bytes;
}

bool NcclMemory::add(Block& block, std::size_t bytes) {
  if (kind_ == NcclMemoryKind::kSymmetric) {
    const bool added = calls_.add_window(block.data, bytes, &block.handle) == 0 && block.handle != nullptr;
    block.is_window = true;
    if (calls_.all_ranks(added)) return true;
    if (added) remove(block);
    come_down_to(NcclMemoryKind::kRegistered, "NCCL makes no symmetric windows between these GPUs");
  }
  block = {.data = block.data, .bytes = bytes};
  const bool added = calls_.add_buffer(block.data, bytes, &block.handle) == 0;
  if (calls_.all_ranks(added)) return true;
  if (added) remove(block);
  come_down_to(NcclMemoryKind::kOrdinary, "ncclCommRegister failed on some rank");
  return false;
}

void NcclMemory::come_down_to(NcclMemoryKind kind, const std::string& why) {
  if (choice_.required) {
    throw std::invalid_argument(std::string("--nccl-memory ") + name_of(kind_) + ": " + why +
                                "; use auto, or ordinary");
  }
  kind_ = kind;
  if (warn_) warn_(why + "; gradient buckets are in " + name_of(kind) + " memory");
}

void NcclMemory::remove(Block& block) {
  // A registration may have no handle of its own where NCCL has nothing to remember.
  if (block.handle != nullptr)
    block.is_window ? calls_.remove_window(block.handle) : calls_.remove_buffer(block.handle);
  block.handle = nullptr;
}

void NcclMemory::free_returned() {
  const std::scoped_lock lock(mutex_);
  const auto returned = [](const Block& block) { return block.returned; };
  if (std::none_of(blocks_.begin(), blocks_.end(), returned)) return;
  calls_.wait_for_device();
  for (Block& block : blocks_) {
    if (!block.returned) continue;
    remove(block);
    calls_.free(block.data);
  }
  std::erase_if(blocks_, returned);
}

void NcclMemory::take_out() {
  const std::scoped_lock lock(mutex_);
  for (Block& block : blocks_) remove(block);
}

void NcclMemory::close() {
  free_returned();
  const std::scoped_lock lock(mutex_);
  open_ = false;
}

void NcclMemory::drop() noexcept {
  const std::scoped_lock lock(mutex_);
  for (Block& block : blocks_) block.handle = nullptr;
  open_ = false;
}

void NcclMemory::give_back(void* data) noexcept {
  const std::scoped_lock lock(mutex_);
  const auto block =
      std::find_if(blocks_.begin(), blocks_.end(), [&](const Block& one) { return one.data == data; });
  if (block == blocks_.end()) return;
  block->returned = true;
  if (open_) return;
  // What fails now is the device itself, and its memory goes with the process.
  try {
    calls_.wait_for_device();
  } catch (const std::exception&) {
    return;
  }
  calls_.free(data);
  blocks_.erase(block);
}

}  // namespace lockstep

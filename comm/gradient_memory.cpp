#include "comm/gradient_memory.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <torch/csrc/autograd/graph_task.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <utility>

namespace lockstep {

namespace {

// What is in use of shared memory, and keeps it mapped.
class Loans {
 public:
  void add(const void* data, std::shared_ptr<SharedMemory> memory) {
    const std::scoped_lock lock(mutex_);
    loans_.emplace(data, std::move(memory));
  }

  // False if `data` is no loan.
  bool end(void* data) {
    std::shared_ptr<SharedMemory> memory;
    {
      const std::scoped_lock lock(mutex_);
      const auto found = loans_.find(data);
      if (found == loans_.end()) return false;
      memory = std::move(found->second);
      loans_.erase(found);
    }
    memory->deallocate(data);
    return true;
  }

 private:
  std::mutex mutex_;
  std::map<const void*, std::shared_ptr<SharedMemory>> loans_;
};

// Never destroyed: tensors in static storage are freed after everything else.
Loans& loans() {
  static auto* const instance = new Loans;
  return *instance;
}

thread_local std::weak_ptr<const GradientMemory::Sizes> t_active;
thread_local bool t_is_active = false;

class GradientAllocator final : public c10::Allocator {
 public:
  explicit GradientAllocator(c10::Allocator* base) : base_(base) {}

  c10::DataPtr allocate(std::size_t bytes) override {
    if (t_is_active && bytes >= static_cast<std::size_t>(GradientMemory::kSmallestBytes) &&
        torch::autograd::get_current_graph_task_id() != -1) {
      if (void* data = allocate_shared(static_cast<std::int64_t>(bytes)))
        return {data, data, &release, c10::Device(c10::kCPU)};
    }
    return base_->allocate(bytes);
  }

  c10::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void* to, const void* from, std::size_t bytes) const override {
    default_copy_data(to, from, bytes);
  }

  static void install() {
    static auto* const instance = [] {
      auto* allocator = new GradientAllocator(c10::GetCPUAllocator());
      base_of_release() = allocator->base_;
      c10::SetCPUAllocator(allocator, /*priority=*/1);
      return allocator;
    }();
    (void)instance;
  }

 private:
  static void* allocate_shared(std::int64_t bytes);

  static c10::Allocator*& base_of_release() {
    static c10::Allocator* base = nullptr;
    return base;
  }

  // For memory of either kind: oneDNN asks for raw memory and gives it back by raw_deleter().
  static void release(void* data) {
    if (data == nullptr || loans().end(data)) return;
    base_of_release()->raw_deleter()(data);
  }

  c10::Allocator* const base_;
};

void* GradientAllocator::allocate_shared(std::int64_t bytes) {
  const auto sizes = t_active.lock();
  if (!sizes) {
    t_is_active = false;
    return nullptr;
  }
  if (!std::binary_search(sizes->bytes.begin(), sizes->bytes.end(), bytes)) return nullptr;
  void* data = sizes->memory->allocate(bytes);
  if (data != nullptr) loans().add(data, sizes->memory);
  return data;
}

}  // namespace

GradientMemory::GradientMemory(std::shared_ptr<SharedMemory> memory,
                               const std::vector<std::int64_t>& gradient_bytes) {
  auto sizes = std::make_shared<Sizes>();
  sizes->memory = std::move(memory);
  for (const std::int64_t bytes : gradient_bytes) {
    if (bytes >= kSmallestBytes) sizes->bytes.push_back(bytes);
  }
  std::sort(sizes->bytes.begin(), sizes->bytes.end());
  sizes_ = std::move(sizes);
  GradientAllocator::install();
}

GradientMemory::~GradientMemory() {
  deactivate();
}

void GradientMemory::activate() {
  t_active = sizes_;
  t_is_active = true;
}

void GradientMemory::deactivate() {
  if (t_active.lock() != sizes_) return;
  t_active.reset();
  t_is_active = false;
}

}  // namespace lockstep

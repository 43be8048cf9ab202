// What a shared-out optimizer needs to save, load and move what it remembers, beside a rank's share of it.
#include <ATen/ATen.h>
#include <c10/core/CPUAllocator.h>
#include <gtest/gtest.h>

#include <atomic>
#include <functional>

#include "tests/comm/tcp_ranks.h"
#include "tests/trainer/optim/named_parameters.h"
#include "trainer/optim/sharded_optimizer.h"

namespace lockstep {
namespace {

using testing::backward;
using testing::NamedParameters;
using testing::tensors_of;

// Counts what LibTorch's CPU allocator has handed out, on whichever thread, and what has come back.
class CountingAllocator final : public c10::Allocator {
 public:
  // While it lives, the process allocates here.
  class Guard {
   public:
    Guard() : before_(c10::GetCPUAllocator()) {
      instance().base_ = before_;
      c10::SetCPUAllocator(&instance(), kPriority);
    }
    ~Guard() { c10::SetCPUAllocator(before_, kPriority); }
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;

   private:
    c10::Allocator* before_;
  };

  c10::DataPtr allocate(std::size_t bytes) override {
    auto* held = new Held{base_->allocate(bytes), static_cast<std::int64_t>(bytes)};
    const std::int64_t now = now_ += held->bytes;
    std::int64_t peak = peak_;
    while (peak < now && !peak_.compare_exchange_weak(peak, now)) {
    }
    return {held->memory.get(), held, &release, c10::Device(c10::kCPU)};
  }
  void copy_data(void* to, const void* from, std::size_t bytes) const override {
    default_copy_data(to, from, bytes);
  }

  static std::int64_t now() { return instance().now_; }
  static std::int64_t peak() { return instance().peak_; }
  static void forget_peak() { instance().peak_ = now(); }

 private:
  struct Held {
    c10::DataPtr memory;
    std::int64_t bytes;
  };
  static constexpr std::uint8_t kPriority = 1;  // that of the one which finds gradients shared memory

  static CountingAllocator& instance() {
    static auto* const allocator = new CountingAllocator();  // tensors may come back at the process' end
    return *allocator;
  }
  static void release(void* context) {
    auto* const held = static_cast<Held*>(context);
    instance().now_ -= held->bytes;
    delete held;
  }

  c10::Allocator* base_ = nullptr;
  std::atomic<std::int64_t> now_{0}, peak_{0};
};

// How far `work`, a collective, raises what all ranks together have allocated; on rank 0.
double peak_bytes(Communicator& comm, const std::function<void()>& work) {
  comm.barrier();
  const std::int64_t before = CountingAllocator::now();
  if (comm.rank() == 0) CountingAllocator::forget_peak();
  comm.barrier();
  work();
  comm.barrier();
  return comm.rank() == 0 ? static_cast<double>(CountingAllocator::peak() - before) : 0.0;
}

TEST(ShardedMemory, NeedsNoMemoryForTheWholeStateToSaveLoadOrMoveIt) {
  constexpr std::int64_t kElements = 1 << 19;
  constexpr int kParameters = 24;
  constexpr int kRanks = 4;
  constexpr double kWhole =
      2.0 * kParameters * kElements * sizeof(float);  // 101 MB, of which a rank keeps 25
  const CountingAllocator::Guard counting;
  testing::run_tcp({.machines = kRanks}, [](Communicator& comm) {
    NamedParameters named;
    for (int i = 0; i < kParameters; ++i)
      named.emplace_back(std::to_string(i), at::zeros({kElements}).requires_grad_());
    const CommunicatorPtr shared(&comm, [](Communicator*) {});
    Reducer reducer(named, shared);
    ShardedOptimizer optimizer("adam", tensors_of(named), {}, reducer, shared);
    ShardPlan first_plan;
    for (int step = 0; step < 2; ++step) {
      optimizer.zero_grad();
      reducer.prepare_for_forward(true);
      backward(named);
      if (step == 0) first_plan = reducer.shard_plan();
      EXPECT_LT(peak_bytes(comm, [&] { optimizer.step(); }), 0.75 * kRanks * kWhole) << "step " << step;
    }
    EXPECT_NE(reducer.shard_plan(), first_plan);  // so that the second step has moved it
    std::vector<OptimizerStateEntry> passed;
    const auto drop = [](const OptimizerStateEntry&) { return at::Tensor(); };
    EXPECT_LT(peak_bytes(comm, [&] { passed = optimizer.snapshot_state(drop); }), 0.75 * kRanks * kWhole);
    EXPECT_EQ(passed.size(), comm.rank() == 0 ? 3 * kParameters : 0);
    const std::vector<OptimizerStateEntry> state = optimizer.state();
    EXPECT_LT(peak_bytes(comm, [&] { optimizer.load_state(state); }), 0.75 * kRanks * kWhole);
  });
}

}  // namespace
}  // namespace lockstep

#include "comm/hierarchical_runner.h"

#include <c10/core/ScalarType.h>

#include <cstring>
#include <new>
#include <numeric>
#include <span>
#include <stdexcept>
#include <utility>
#include <vector>

#include "comm/agreement.h"
#include "comm/errors.h"
#include "comm/ring.h"
#include "comm/ring_communicator.h"
#include "comm/shared_memory_communicator.h"
#include "comm/socket_transport.h"

namespace lockstep {
namespace {

// A machine's ranks wait longer for its first rank than that one waits for other machines, so that what it
// finds out is what all of them report.
constexpr auto kGrace = std::chrono::seconds(2);

// What each rank shows the others of its machine.
struct Slot {
  CollectiveSignature signature;
  SharedMemory::Offset data = 0;
};

class Runner final : public CollectiveRunner {
 public:
  Runner(CommunicatorPtr host, const MachineLayout& layout, std::shared_ptr<SharedMemoryCommunicator> local,
         std::unique_ptr<Transport> wire)
      : host_(std::move(host)),
        rank_(host_->rank()),
        world_size_(host_->world_size()),
        local_size_(layout.ranks_per_machine),
        local_(std::move(local)),
        wire_(std::move(wire)) {
    void* place = memory()->allocate(sizeof(Slot));
    if (place == nullptr) throw CommError("no shared memory is left");
    slot_ = new (place) Slot;
  }

  int rank() const override { return rank_; }
  int world_size() const override { return world_size_; }
  std::shared_ptr<SharedMemory> memory() const override { return local_->memory(); }

  std::int64_t run(const CollectiveSignature& signature, const at::Tensor& output, const at::Tensor& input,
                   const WaitLimit& limit) override {
    switch (signature.kind) {
      case CollectiveKind::kAllReduce: {
        const at::Tensor shared = share(input.defined() ? input : output, /*may_be_changed=*/true);
        const std::int64_t bytes = meet(signature, shared, limit);
        const at::Tensor sum = input.defined() ? shared.select(0, 0) : shared;
        if (sum.const_data_ptr() != output.const_data_ptr()) output.copy_(sum);
        return bytes;
      }
      case CollectiveKind::kReduceScatter: {
        const at::Tensor shared = share(input, /*may_be_changed=*/false);
        const std::int64_t bytes = meet(signature, shared, limit);
        output.view({-1}).copy_(block_of(shared));
        return bytes;
      }
      case CollectiveKind::kAllGather: {
        const at::Tensor shared = share(output, /*may_be_changed=*/true);
        block_of(shared).copy_(input.view({-1}));
        const std::int64_t bytes = meet(signature, shared, limit);
        if (shared.const_data_ptr() != output.const_data_ptr()) output.copy_(shared);
        return bytes;
      }
      case CollectiveKind::kSendReceive: {
        // What is given and, behind it, what comes.
        const std::int64_t count = input.numel();
        const at::Tensor shared =
            staged(2 * static_cast<std::int64_t>(input.nbytes())).view(input.scalar_type());
        shared.narrow(0, 0, count).copy_(input.view({-1}));
        const std::int64_t bytes = meet(signature, shared, limit);
        output.view({-1}).copy_(shared.narrow(0, count, count));
        return bytes;
      }
      case CollectiveKind::kBroadcast: {
        const at::Tensor shared = share(output, /*may_be_changed=*/true);
        const std::int64_t bytes = meet(signature, shared, limit);
        if (shared.const_data_ptr() != output.const_data_ptr()) output.copy_(shared);
        return bytes;
      }
      default:
        return meet(signature, {}, limit);
    }
  }

  void close() override {
    local_->shutdown();
    if (wire_) wire_->close();
    host_->shutdown();
  }
  void fail(const std::string& reason) override {
    if (wire_) wire_->fail(reason);
    local_->abort(reason);
  }
  void abort(const std::string& reason) noexcept override { local_->abort(reason); }

 private:
  int first_rank() const { return rank_ / local_size_ * local_size_; }

  at::Tensor block_of(const at::Tensor& blocks) const {
    const std::int64_t block = blocks.numel() / world_size_;
    return blocks.view({-1}).narrow(0, rank_ * block, block);
  }

  // `tensor` where the ranks of this machine can see it: itself, or a copy.
  at::Tensor share(const at::Tensor& tensor, bool may_be_changed) {
    const auto bytes = static_cast<std::int64_t>(tensor.nbytes());
    if (may_be_changed && memory()->contains(tensor.const_data_ptr(), bytes)) return tensor;
    at::Tensor copy = staged(bytes).view(tensor.scalar_type()).view(tensor.sizes());
    copy.copy_(tensor);
    return copy;
  }

  at::Tensor staged(std::int64_t bytes) {
    if (!staging_.defined() || staging_.numel() < bytes) {
      staging_.reset();
      staging_ = memory()->allocate_tensor({bytes}, at::TensorOptions().dtype(at::kByte));
      if (!staging_.defined()) throw CommError("no shared memory is left");
    }
    return staging_.narrow(0, 0, bytes);
  }

  // When all ranks of the machine have come, its first one does the work, and they wait for it.
  std::int64_t meet(const CollectiveSignature& signature, const at::Tensor& shared, const WaitLimit& limit) {
    slot_->signature = signature;
    slot_->data = shared.defined() ? memory()->offset_of(shared.const_data_ptr()) : 0;
    std::int64_t bytes = 0;
    bool wire_failed = false;
    report(signature.sequence,
           "has come to " + signature.describe() + " and waits for other ranks of its machine");
    try {
      local_
          ->exchange(0, slot_,
                     [&](std::span<std::byte* const> places) {
                       const std::vector<char*> tensors = look(signature, places);
                       take_from_neighbour(signature, tensors);
                       if (!wire_) return;
                       report(signature.sequence + 1, "is in " + signature.describe());
                       wire_failed = true;
                       bytes = run_on_wire(signature, tensors, limit);
                       wire_failed = false;
                     })
          ->wait();
    } catch (const CommError& error) {
      if (wire_failed) throw;
      throw CommError("rank " + std::to_string(rank_) + ": " + signature.describe() +
                          " failed on its machine: " + error.what(),
                      error.peer(), signature.describe());
    }
    report(signature.sequence + 1, has_done(signature));
    return bytes;
  }

  void report(std::uint64_t collectives, const std::string& text) {
    if (wire_) wire_->report_position(collectives, text);
  }

  // Of a send_receive, what the machine's last rank alone gets over the wire.
  void take_from_neighbour(const CollectiveSignature& signature, const std::vector<char*>& tensors) const {
    const auto here = static_cast<std::size_t>(rank_ - first_rank());
    if (signature.kind != CollectiveKind::kSendReceive || here + 1 == tensors.size()) return;
    const std::size_t bytes = static_cast<std::size_t>(signature.count) * c10::elementSize(signature.dtype);
    std::memcpy(tensors[here] + bytes, tensors[here + 1], bytes);
  }

  // The tensors of the machine's ranks, once they are known to be in the same collective.
  std::vector<char*> look(const CollectiveSignature& signature, std::span<std::byte* const> places) const {
    std::vector<char*> tensors;
    for (int r = 0; r < local_size_; ++r) {
      const auto* slot = reinterpret_cast<const Slot*>(places[static_cast<std::size_t>(r)]);
      if (!(slot->signature == signature))
        throw mismatch(rank_, signature, first_rank() + r, slot->signature);
      tensors.push_back(reinterpret_cast<char*>(memory()->at(r, slot->data)));
    }
    return tensors;
  }

  std::int64_t run_on_wire(CollectiveSignature signature, const std::vector<char*>& tensors,
                           const WaitLimit& limit) {
    const auto element_bytes = static_cast<std::int64_t>(c10::elementSize(signature.dtype));
    const std::int64_t bytes = signature.count * element_bytes;
    const std::int64_t block = bytes / world_size_;
    RingBuffers buffers;
    buffers.result = tensors.front();
    buffers.tensors = {buffers.result};
    const auto copy_to_others = [&tensors](const char* from, ByteRange range) {
      for (char* to : tensors) {
        if (to != from)
          std::memcpy(to + range.begin, from + range.begin, static_cast<std::size_t>(range.size()));
      }
    };
    buffers.on_result = [&](ByteRange range) { copy_to_others(tensors.front(), range); };
    switch (signature.kind) {
      case CollectiveKind::kAllReduce:
      case CollectiveKind::kReduceScatter: {
        buffers.tensors.clear();
        for (char* tensor : tensors) {
          for (std::int64_t row = 0; row < signature.rows; ++row)
            buffers.tensors.push_back(tensor + row * bytes);
        }
        const std::int64_t sent = run_ring_collective(*wire_, signature, buffers, limit);
        if (signature.kind == CollectiveKind::kReduceScatter) {
          const std::int64_t own = first_rank() * block;
          copy_to_others(tensors.front(), {own, own + local_size_ * block});
        }
        return sent;
      }
      case CollectiveKind::kAllGather:
        for (int r = 0; r < local_size_; ++r) {
          const std::int64_t own = (first_rank() + r) * block;
          copy_to_others(tensors[static_cast<std::size_t>(r)], {own, own + block});
        }
        return run_ring_collective(*wire_, signature, buffers, limit);
      case CollectiveKind::kSendReceive:
        buffers.result = tensors.back() + bytes;
        buffers.on_result = nullptr;
        return run_ring_collective(*wire_, signature, buffers, limit);
      case CollectiveKind::kBroadcast: {
        const int root = signature.root;
        signature.root = root / local_size_;  // of machines
        if (root >= first_rank() && root < first_rank() + local_size_)
          copy_to_others(tensors[static_cast<std::size_t>(root - first_rank())], {0, bytes});
        return run_ring_collective(*wire_, signature, buffers, limit);
      }
      default: {
        char scratch[2] = {};
        buffers.result = scratch;
        buffers.tensors = {scratch};
        return run_ring_collective(*wire_, signature, buffers, limit);
      }
    }
  }

  const CommunicatorPtr host_;
  const int rank_;
  const int world_size_;
  const int local_size_;
  const std::shared_ptr<SharedMemoryCommunicator> local_;
  const std::unique_ptr<Transport> wire_;  // of the first rank of each machine
  Slot* slot_ = nullptr;
  at::Tensor staging_;
};

}  // namespace

HierarchicalRunner make_hierarchical_runner(const CommunicatorPtr& host, const MachineLayout& layout,
                                            const TcpOptions& options) {
  const int per_machine = layout.ranks_per_machine;
  std::vector<int> neighbours(static_cast<std::size_t>(per_machine));
  std::iota(neighbours.begin(), neighbours.end(), host->rank() / per_machine * per_machine);
  std::vector<int> first_ranks;
  for (int m = 0; m < layout.machines; ++m) first_ranks.push_back(m * per_machine);

  const SocketOptions local{neighbours, options.interfaces, options.timeout};
  const auto base = std::make_shared<RingCommunicator>(
      "tcp", RingCommunicator::MakeTransport([host, local] { return make_socket_transport(*host, local); }),
      options.timeout, options.order);
  const auto created = SharedMemoryCommunicator::create(base, options.order, options.timeout + kGrace);
  const std::string problem = first_problem(created.problem, *host);
  if (!problem.empty()) {
    base->shutdown();
    return {nullptr, problem};
  }
  auto wire = make_socket_transport(*host, {first_ranks, options.interfaces, options.timeout});
  return {std::make_unique<Runner>(host, layout, created.communicator, std::move(wire)), ""};
}

}  // namespace lockstep

#include "comm/shared_memory_communicator.h"

#include <algorithm>
#include <exception>
#include <stdexcept>
#include <utility>
#include <vector>

#include "comm/collective.h"
#include "comm/errors.h"
#include "comm/reduction.h"
#include "comm/shared_control.h"
#include "comm/shared_engine.h"

namespace lockstep {

SharedMemoryCommunicator::Created SharedMemoryCommunicator::create(CommunicatorPtr base, ReductionOrder order,
                                                                   std::chrono::milliseconds timeout,
                                                                   int ranks_on_machine) {
  const SharedMemory::Created created = SharedMemory::create(*base, SharedPeers::head_bytes(), timeout);
  if (!created.memory) return {nullptr, created.problem};
  std::vector<int> named_ranks;
  for (int rank = 0; rank < base->world_size(); ++rank) named_ranks.push_back(base->named_rank(rank));
  auto engine = std::make_shared<SharedEngine>(
      created.memory, std::move(named_ranks), std::max(ranks_on_machine, base->world_size()), order, timeout);
  return {std::shared_ptr<SharedMemoryCommunicator>(
              new SharedMemoryCommunicator(std::move(base), std::move(engine))),
          ""};
}

SharedMemoryCommunicator::SharedMemoryCommunicator(CommunicatorPtr base, std::shared_ptr<SharedEngine> engine)
    : base_(std::move(base)), engine_(std::move(engine)) {}
SharedMemoryCommunicator::~SharedMemoryCommunicator() = default;

int SharedMemoryCommunicator::rank() const {
  return engine_->rank();
}
int SharedMemoryCommunicator::world_size() const {
  return engine_->world_size();
}
int SharedMemoryCommunicator::named_rank(int rank) const {
  return engine_->named_rank(rank);
}
ReductionOrder SharedMemoryCommunicator::reduction_order() const {
  return engine_->order();
}
std::int64_t SharedMemoryCommunicator::bytes_sent() const {
  return engine_->bytes_sent() + base_->bytes_sent();
}
const std::shared_ptr<SharedMemory>& SharedMemoryCommunicator::memory() const {
  return engine_->memory();
}
double SharedMemoryCommunicator::waited_s() const {
  return engine_->waited_s();
}
void SharedMemoryCommunicator::add_bytes_sent(std::int64_t bytes) {
  engine_->add_bytes_sent(bytes);
}

at::Tensor SharedMemoryCommunicator::allocate(at::IntArrayRef sizes, const at::TensorOptions& options) {
  if (options.device().is_cpu()) {
    const at::Tensor tensor = engine_->memory()->allocate_tensor(sizes, options);
    if (tensor.defined()) return tensor;
  }
  return Communicator::allocate(sizes, options);
}

WorkPtr SharedMemoryCommunicator::all_reduce(at::Tensor tensor, ReduceOp op) {
  check_collective_tensor(tensor, "all_reduce");
  if (tensor.is_cuda()) return base_->all_reduce(std::move(tensor), op);
  const CollectiveSignature signature{
      0, CollectiveKind::kAllReduce, op, tensor.scalar_type(), 0, tensor.numel()};
  return engine_->submit(signature, std::move(tensor), {});
}

WorkPtr SharedMemoryCommunicator::reduce_scatter(at::Tensor output, at::Tensor input, ReduceOp op) {
  check_collective_blocks(output, input, world_size(), "reduce_scatter");
  if (input.is_cuda()) return base_->reduce_scatter(std::move(output), std::move(input), op);
  const CollectiveSignature signature{
      0, CollectiveKind::kReduceScatter, op, input.scalar_type(), 0, input.numel()};
  return engine_->submit(signature, std::move(output), std::move(input));
}

WorkPtr SharedMemoryCommunicator::all_gather(at::Tensor output, at::Tensor input) {
  check_collective_blocks(input, output, world_size(), "all_gather");
  if (input.is_cuda()) return base_->all_gather(std::move(output), std::move(input));
  const CollectiveSignature signature{
      0, CollectiveKind::kAllGather, ReduceOp::kSum, output.scalar_type(), 0, output.numel()};
  return engine_->submit(signature, std::move(output), std::move(input));
}

WorkPtr SharedMemoryCommunicator::broadcast(at::Tensor tensor, int root) {
  check_collective_tensor(tensor, "broadcast");
  check_root(root, world_size());
  if (tensor.is_cuda()) return base_->broadcast(std::move(tensor), root);
  const CollectiveSignature signature{
      0, CollectiveKind::kBroadcast, ReduceOp::kSum, tensor.scalar_type(), root, tensor.numel()};
  return engine_->submit(signature, std::move(tensor), {});
}

WorkPtr SharedMemoryCommunicator::send_receive(at::Tensor output, at::Tensor input) {
  check_send_receive(output, input);
  if (input.is_cuda()) return base_->send_receive(std::move(output), std::move(input));
  const CollectiveSignature signature{
      0, CollectiveKind::kSendReceive, ReduceOp::kSum, input.scalar_type(), 0, input.numel()};
  return engine_->submit(signature, std::move(output), std::move(input));
}

void SharedMemoryCommunicator::barrier() {
  engine_->submit({0, CollectiveKind::kBarrier, ReduceOp::kSum, at::kByte, 0, 0}, {}, {})->wait();
}

WorkPtr SharedMemoryCommunicator::exchange(std::int64_t tag, const void* mine, Body body) {
  if (!memory()->contains(mine, 1))
    throw std::invalid_argument("exchange needs memory of this rank's segment; allocate() gives it");
  return engine_->submit({0, CollectiveKind::kExchange, ReduceOp::kSum, at::kByte, 0, tag}, {}, {},
                         std::move(body), mine);
}

// Nobody leaves before all have come, so that a peer's end is never taken for a failure.
void SharedMemoryCommunicator::shutdown() {
  engine_->drain();
  barrier();
  base_->shutdown();
}

void SharedMemoryCommunicator::abort(const std::string& reason) noexcept {
  try {
    engine_->fail_from_now_on(
        std::make_exception_ptr(CommError("rank " + std::to_string(named_rank(rank())) + ": " + reason)),
        reason);
  } catch (...) {
    std::terminate();  // out of memory for an error message: nothing can be told to anybody any more
  }
  base_->abort(reason);
}

}  // namespace lockstep

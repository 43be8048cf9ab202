#include "comm/ring_communicator.h"

#include <ATen/core/Tensor.h>

#include <memory>
#include <utility>

#include "comm/cuda_staging.h"
#include "comm/reduction.h"
#include "comm/ring_engine.h"
#include "comm/sum_rows.h"

namespace lockstep {

RingCommunicator::RingCommunicator(std::string backend, MakeTransport make_transport,
                                   std::chrono::milliseconds timeout, ReductionOrder order)
    : RingCommunicator(
          std::move(backend), [make = std::move(make_transport)] { return make_ring_runner(make()); },
          timeout, order) {}

RingCommunicator::RingCommunicator(std::string backend, MakeRunner make_runner,
                                   std::chrono::milliseconds timeout, ReductionOrder order)
    : engine_(std::make_shared<RingEngine>(std::move(backend), timeout, order)) {
  engine_->start(std::move(make_runner));
}

RingCommunicator::~RingCommunicator() {
  engine_->abandon();
}

int RingCommunicator::rank() const {
  return engine_->rank();
}
int RingCommunicator::world_size() const {
  return engine_->world_size();
}
int RingCommunicator::named_rank(int rank) const {
  return engine_->named_rank(rank);
}
std::string RingCommunicator::backend() const {
  return engine_->backend();
}
ReductionOrder RingCommunicator::reduction_order() const {
  return engine_->order();
}
std::int64_t RingCommunicator::bytes_sent() const {
  return engine_->bytes_sent();
}

namespace {

std::unique_ptr<CudaStaging> stage(const at::Tensor& tensor) {
  return tensor.is_cuda() ? std::make_unique<CudaStaging>(tensor) : nullptr;
}

}  // namespace

at::Tensor RingCommunicator::allocate(at::IntArrayRef sizes, const at::TensorOptions& options) {
  if (engine_->memory() && options.device().is_cpu()) {
    const at::Tensor tensor = engine_->memory()->allocate_tensor(sizes, options);
    if (tensor.defined()) return tensor;
  }
  return Communicator::allocate(sizes, options);
}

WorkPtr RingCommunicator::submit(CollectiveSignature signature, at::Tensor output, at::Tensor input) {
  auto work = std::make_shared<RingWork>();
  work->signature = signature;
  if (output.defined()) work->staging_out = stage(output);
  if (input.defined()) work->staging_in = stage(input);
  work->output = std::move(output);
  work->input = std::move(input);
  return engine_->submit(std::move(work));
}

WorkPtr RingCommunicator::all_reduce(at::Tensor tensor, ReduceOp op) {
  check_collective_tensor(tensor, "all_reduce");
  const CollectiveSignature signature{
      0, CollectiveKind::kAllReduce, op, tensor.scalar_type(), 0, tensor.numel(), reduction_order()};
  return submit(signature, std::move(tensor), {});
}

WorkPtr RingCommunicator::all_reduce_rows(at::Tensor output, at::Tensor rows, ReductionOrder order) {
  if (world_size() == 1) return Communicator::all_reduce_rows(std::move(output), std::move(rows), order);
  check_rows(output, rows, "all_reduce_rows");
  const CollectiveSignature signature{0,
                                      CollectiveKind::kAllReduce,
                                      ReduceOp::kSum,
                                      rows.scalar_type(),
                                      0,
                                      rows.size(1),
                                      order == ReductionOrder::kFast ? ReductionOrder::kTree : order,
                                      rows.size(0)};
  return submit(signature, std::move(output), std::move(rows));
}

WorkPtr RingCommunicator::reduce_scatter(at::Tensor output, at::Tensor input, ReduceOp op) {
  check_collective_blocks(output, input, world_size(), "reduce_scatter");
  const CollectiveSignature signature{
      0, CollectiveKind::kReduceScatter, op, input.scalar_type(), 0, input.numel(), reduction_order()};
  return submit(signature, std::move(output), std::move(input));
}

WorkPtr RingCommunicator::all_gather(at::Tensor output, at::Tensor input) {
  check_collective_blocks(input, output, world_size(), "all_gather");
  const CollectiveSignature signature{0,
                                      CollectiveKind::kAllGather,
                                      ReduceOp::kSum,
                                      output.scalar_type(),
                                      0,
                                      output.numel(),
                                      reduction_order()};
  return submit(signature, std::move(output), std::move(input));
}

WorkPtr RingCommunicator::broadcast(at::Tensor tensor, int root) {
  check_collective_tensor(tensor, "broadcast");
  check_root(root, world_size());
  const CollectiveSignature signature{0,
                                      CollectiveKind::kBroadcast,
                                      ReduceOp::kSum,
                                      tensor.scalar_type(),
                                      root,
                                      tensor.numel(),
                                      reduction_order()};
  return submit(signature, std::move(tensor), {});
}

WorkPtr RingCommunicator::send_receive(at::Tensor output, at::Tensor input) {
  check_send_receive(output, input);
  const CollectiveSignature signature{0,
                                      CollectiveKind::kSendReceive,
                                      ReduceOp::kSum,
                                      input.scalar_type(),
                                      0,
                                      input.numel(),
                                      reduction_order()};
  return submit(signature, std::move(output), std::move(input));
}

void RingCommunicator::barrier() {
  submit({0, CollectiveKind::kBarrier, ReduceOp::kSum, at::kByte, 0, 0, reduction_order()}, {}, {})->wait();
}

void RingCommunicator::shutdown() {
  engine_->shutdown();
}

void RingCommunicator::abort(const std::string& reason) noexcept {
  try {
    engine_->fail_from_now_on(reason);
  } catch (...) {
    std::terminate();  // out of memory for an error message: nothing can be told to anybody any more
  }
}

}  // namespace lockstep

#include "comm/nccl_communicator.h"

#include <ATen/ops/full.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAGuard.h>
#include <cuda_runtime_api.h>

#include <atomic>
#include <bit>
#include <stdexcept>
#include <utility>

#include "comm/nccl_library.h"
#include "comm/nccl_memory.h"
#include "comm/nccl_session.h"
#include "comm/reduction.h"
#include "comm/replay_watch.h"
#include "comm/sum_rows.h"
#include "comm/traced_collective.h"
#include "comm/tree_exchange.h"

namespace lockstep {
namespace {

ncclDataType_t to_nccl(at::ScalarType dtype) {
  switch (dtype) {
    case at::kFloat:
      return ncclFloat32;
    case at::kDouble:
      return ncclFloat64;
    case at::kHalf:
      return ncclFloat16;
    case at::kBFloat16:
      return ncclBfloat16;
    case at::kInt:
      return ncclInt32;
    case at::kLong:
      return ncclInt64;
    case at::kByte:
      return ncclUint8;
    default:
      throw std::invalid_argument("NCCL cannot take this dtype");
  }
}

ncclRedOp_t to_nccl(ReduceOp op) {
  switch (op) {
    case ReduceOp::kSum:
      return ncclSum;
    case ReduceOp::kMax:
      return ncclMax;
    case ReduceOp::kMin:
      return ncclMin;
  }
  throw std::logic_error("unknown ReduceOp");
}

std::size_t count_of(const at::Tensor& tensor) {
  return static_cast<std::size_t>(tensor.numel());
}

// Empty tensors have no storage to be on a device, but a device they have.
bool is_ours(const at::Tensor& tensor) {
  return tensor.defined() && tensor.is_cuda();
}

// What a call of the loaded library is, or an exception that names it.
template <typename Function>
Function find_call(const char* name) {
  void* function = find_nccl_function(name);
  if (function == nullptr) throw std::invalid_argument(std::string("the loaded NCCL has no ") + name);
  return reinterpret_cast<Function>(function);
}

class NcclCommunicator final : public Communicator, public ReplayWatch, public DeviceTraced {
 public:
  NcclCommunicator(CommunicatorPtr host, NcclOptions options)
      : host_(std::move(host)),
        order_(options.order),
        choice_(choose_memory(options.memory)),
        session_(*host_, options.device, options.timeout, spares_sms(choice_.kind, nccl_version())) {
    memory_ = std::make_shared<NcclMemory>(choice_, memory_calls(choice_.kind), std::move(options.warn));
  }

  ~NcclCommunicator() override { memory_->drop(); }

  int rank() const override { return host_->rank(); }
  int world_size() const override { return host_->world_size(); }
  int named_rank(int rank) const override { return host_->named_rank(rank); }
  std::string backend() const override { return "nccl"; }
  ReductionOrder reduction_order() const override { return order_; }

  at::Tensor allocate(at::IntArrayRef sizes, const at::TensorOptions& options) override {
    if (!options.device().is_cuda()) return host_->allocate(sizes, options);
    return memory_->allocate(sizes, options);
  }
  std::int64_t allocated_bytes() const override { return memory_->allocated_bytes(); }

  WorkPtr all_reduce(at::Tensor tensor, ReduceOp op) override {
    if (!is_ours(tensor)) return host_->all_reduce(std::move(tensor), op);
    check_collective_tensor(tensor, "all_reduce");
    count_bytes(2 * tensor.nbytes() * peers() / static_cast<std::size_t>(world_size()));
    return session_.launch("all_reduce", tensor, {tensor}, [&] {
      if (order_ == ReductionOrder::kTree && order_matters(tensor, op)) return add_up_in_tree(tensor);
      reduce(tensor, tensor, op);
    });
  }

  // Where K is a power of two, a rank's K rows are a subtree of the tree over all of them.
  WorkPtr all_reduce_rows(at::Tensor output, at::Tensor rows, ReductionOrder order) override {
    check_rows(output, rows, "all_reduce_rows");
    const bool subtree =
        order == ReductionOrder::kTree && std::has_single_bit(static_cast<std::uint64_t>(rows.size(0)));
    if (!is_ours(rows) || !subtree || world_size() == 1)
      return Communicator::all_reduce_rows(std::move(output), std::move(rows), order);
    count_bytes(2 * output.nbytes() * peers() / static_cast<std::size_t>(world_size()));
    return session_.launch("all_reduce_rows", rows, {output, rows}, [&] {
      sum_rows_in_tree(output, rows);
      if (order_matters(output, ReduceOp::kSum)) return add_up_in_tree(output);
      reduce(output, output, ReduceOp::kSum);
    });
  }

  WorkPtr reduce_scatter(at::Tensor output, at::Tensor input, ReduceOp op) override {
    if (!is_ours(output)) return host_->reduce_scatter(std::move(output), std::move(input), op);
    check_collective_blocks(output, input, world_size(), "reduce_scatter");
    count_bytes(output.nbytes() * peers());
    return session_.launch("reduce_scatter", input, {output, input}, [&] {
      if (order_ == ReductionOrder::kTree && order_matters(input, op)) {
        TreeExchange exchange(input, rank(), world_size(), output.numel());
        scatter(exchange);
        return exchange.add_up(output.view({-1}));
      }
      session_.enqueue([&](ncclComm_t comm, cudaStream_t stream) {
        return ncclReduceScatter(input.data_ptr(), output.data_ptr(), count_of(output),
                                 to_nccl(output.scalar_type()), to_nccl(op), comm, stream);
      });
    });
  }

  WorkPtr all_gather(at::Tensor output, at::Tensor input) override {
    if (!is_ours(output)) return host_->all_gather(std::move(output), std::move(input));
    check_collective_blocks(input, output, world_size(), "all_gather");
    count_bytes(input.nbytes() * peers());
    return session_.launch("all_gather", output, {output, input}, [&] { gather(output, input); });
  }

  WorkPtr broadcast(at::Tensor tensor, int root) override {
    if (!is_ours(tensor)) return host_->broadcast(std::move(tensor), root);
    check_collective_tensor(tensor, "broadcast");
    check_root(root, world_size());
    if (rank() == root) count_bytes(tensor.nbytes());
    return session_.launch("broadcast", tensor, {tensor}, [&] {
      if (world_size() == 1) return;
      session_.enqueue([&](ncclComm_t comm, cudaStream_t stream) {
        return ncclBroadcast(tensor.data_ptr(), tensor.data_ptr(), count_of(tensor),
                             to_nccl(tensor.scalar_type()), root, comm, stream);
      });
    });
  }

  WorkPtr send_receive(at::Tensor output, at::Tensor input) override {
    if (!is_ours(input)) return host_->send_receive(std::move(output), std::move(input));
    check_send_receive(output, input);
    count_bytes(world_size() == 1 ? 0 : input.nbytes());
    return session_.launch("send_receive", input, {output, input}, [&] {
      // One group, since each half waits for the other's peer.
      session_.enqueue([&](ncclComm_t comm, cudaStream_t stream) {
        const ncclDataType_t type = to_nccl(input.scalar_type());
        const int to = (rank() + world_size() - 1) % world_size();
        const int from = (rank() + 1) % world_size();
        const ncclResult_t sent = ncclSend(input.data_ptr(), count_of(input), type, to, comm, stream);
        if (!is_accepted(sent)) return sent;
        return ncclRecv(output.data_ptr(), count_of(output), type, from, comm, stream);
      });
    });
  }

  void barrier() override {
    session_.synchronize();
    host_->barrier();
  }

  void watch_replay(const std::string& what, std::int64_t bytes_sent) override {
    session_.watch(what);
    bytes_sent_ += bytes_sent;
  }

  void throw_if_failed() override { session_.throw_if_failed(); }

  void set_device_trace(std::shared_ptr<DeviceTrace> trace) override {
    session_.set_device_trace(std::move(trace));
  }

  std::int64_t bytes_sent() const override {
    return bytes_sent_.load(std::memory_order_relaxed) + host_->bytes_sent();
  }

  void shutdown() override {
    barrier();
    memory_->take_out();
    session_.shutdown();
    memory_->close();
    host_->shutdown();
  }

  void abort(const std::string& reason) noexcept override {
    session_.abort(reason);
    host_->abort(reason);
  }

 private:
  NcclMemoryChoice choose_memory(const std::string& name) const {
    const NcclMemoryChoice choice = choose_nccl_memory(name, nccl_version());
    return world_size() == 1 ? NcclMemoryChoice{} : choice;  // there is nobody to move it to
  }
  std::size_t peers() const { return static_cast<std::size_t>(world_size() - 1); }
  void count_bytes(std::size_t bytes) { bytes_sent_ += static_cast<std::int64_t>(bytes); }

  // A sum of two, of integers, a maximum: the same in every order.
  bool order_matters(const at::Tensor& tensor, ReduceOp op) const {
    return op == ReduceOp::kSum && world_size() > 2 && tensor.is_floating_point() && tensor.numel() > 0;
  }

  // What follows is for the body of a launch.
  void reduce(const at::Tensor& input, const at::Tensor& output, ReduceOp op) {
    if (world_size() == 1 && input.data_ptr() == output.data_ptr()) return;
    session_.enqueue([&](ncclComm_t comm, cudaStream_t stream) {
      return ncclAllReduce(input.data_ptr(), output.data_ptr(), count_of(input), to_nccl(input.scalar_type()),
                           to_nccl(op), comm, stream);
    });
  }

  void gather(const at::Tensor& output, const at::Tensor& input) {
    session_.enqueue([&](ncclComm_t comm, cudaStream_t stream) {
      return ncclAllGather(input.data_ptr(), output.data_ptr(), count_of(input), to_nccl(input.scalar_type()),
                           comm, stream);
    });
  }

  // Everybody's pieces to where they are added up.
  void scatter(TreeExchange& exchange) {
    session_.enqueue([&](ncclComm_t comm, cudaStream_t stream) {
      for (int hop = 1; hop < world_size(); ++hop) {
        const int to = (rank() + hop) % world_size();
        const int from = (rank() + world_size() - hop) % world_size();
        const at::Tensor sent = exchange.piece(to);
        const at::Tensor received = exchange.place(from);
        ncclResult_t result = ncclSuccess;
        if (sent.numel() > 0)
          result = ncclSend(sent.data_ptr(), count_of(sent), to_nccl(sent.scalar_type()), to, comm, stream);
        if (is_accepted(result) && received.numel() > 0) {
          result = ncclRecv(received.data_ptr(), count_of(received), to_nccl(received.scalar_type()), from,
                            comm, stream);
        }
        if (!is_accepted(result)) return result;
      }
      return ncclSuccess;
    });
  }

  void add_up_in_tree(const at::Tensor& tensor) {
    TreeExchange exchange(tensor, rank(), world_size());
    scatter(exchange);
    exchange.add_up();
    exchange.prepare_to_gather();
    gather(exchange.gathered(), exchange.sum());
    exchange.finish();
  }

  NcclMemoryCalls memory_calls(NcclMemoryKind kind) {
    NcclMemoryCalls calls;
    calls.all_ranks = [this](bool mine) {
      const at::Tensor all = at::full({1}, mine ? 1 : 0, at::TensorOptions().dtype(at::kInt));
      host_->all_reduce(all, ReduceOp::kMin)->wait();
      return *all.const_data_ptr<int>() == 1;
    };
    if (kind == NcclMemoryKind::kOrdinary) return calls;
    calls.allocate = [device = session_.device(), call = find_call<decltype(&ncclMemAlloc)>("ncclMemAlloc")](
                         void** data, std::size_t bytes) {
      const c10::cuda::CUDAGuard guard(device);
      const ncclResult_t result = call(data, bytes);
      if (result != ncclSuccess) (void)cudaGetLastError();  // it was NCCL's, and is dealt with
      return static_cast<int>(result);
    };
    calls.free = [device = session_.device(),
                  call = find_call<decltype(&ncclMemFree)>("ncclMemFree")](void* data) {
      const c10::cuda::CUDAGuard guard(device);
      return static_cast<int>(call(data));
    };
    calls.wait_for_device = [device = session_.device()] {
      const c10::cuda::CUDAGuard guard(device);
      c10::cuda::device_synchronize();
    };
    calls.add_buffer = [this, call = find_call<decltype(&ncclCommRegister)>("ncclCommRegister")](
                           void* data, std::size_t bytes, void** handle) {
      return static_cast<int>(session_.alone("ncclCommRegister", [&](ncclComm_t comm, cudaStream_t) {
        return call(comm, data, bytes, handle);
      }));
    };
    calls.remove_buffer =
        [this, call = find_call<decltype(&ncclCommDeregister)>("ncclCommDeregister")](void* handle) {
          return static_cast<int>(session_.alone(
              "ncclCommDeregister", [&](ncclComm_t comm, cudaStream_t) { return call(comm, handle); }));
        };
    if (kind == NcclMemoryKind::kSymmetric) add_window_calls(calls);
    return calls;
  }

  // ncclWindow_t is a pointer that headers before 2.27 lack.
  void add_window_calls(NcclMemoryCalls& calls) {
    constexpr int kCollectivelySymmetric = 1;  // NCCL_WIN_COLL_SYMMETRIC
    using Register = ncclResult_t (*)(ncclComm_t, void*, std::size_t, void**, int);
    using Deregister = ncclResult_t (*)(ncclComm_t, void*);
    calls.add_window = [this, call = find_call<Register>("ncclCommWindowRegister")](
                           void* data, std::size_t bytes, void** handle) {
      return static_cast<int>(session_.alone("ncclCommWindowRegister", [&](ncclComm_t comm, cudaStream_t) {
        return call(comm, data, bytes, handle, kCollectivelySymmetric);
      }));
    };
    calls.remove_window = [this, call = find_call<Deregister>("ncclCommWindowDeregister")](void* handle) {
      return static_cast<int>(session_.alone(
          "ncclCommWindowDeregister", [&](ncclComm_t comm, cudaStream_t) { return call(comm, handle); }));
    };
  }

  CommunicatorPtr host_;
  const ReductionOrder order_;
  const NcclMemoryChoice choice_;
  std::atomic<std::int64_t> bytes_sent_{0};
  NcclSession session_;
  std::shared_ptr<NcclMemory> memory_;  // dropped before the session goes; tensors may keep it
};

}  // namespace

CommunicatorPtr create_nccl_communicator(CommunicatorPtr host, NcclOptions options) {
  return std::make_shared<NcclCommunicator>(std::move(host), std::move(options));
}

}  // namespace lockstep

// LibTorch's headers name Gloo's, which the wheel leaves out: they come from the distribution (libgloo-dev).
// Only pointers to Gloo's types are held here, so that the older headers cannot disagree with the Gloo inside
// LibTorch.
#include "comm/gloo_communicator.h"

#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <atomic>
#include <cstdlib>
#include <mutex>
#include <stdexcept>
#include <vector>

#include "comm/backend.h"
#include "comm/errors.h"
#include "comm/reduction.h"

namespace lockstep {
namespace {

c10d::ReduceOp to_c10d(ReduceOp op) {
  switch (op) {
    case ReduceOp::kSum:
      return c10d::ReduceOp::SUM;
    case ReduceOp::kMax:
      return c10d::ReduceOp::MAX;
    case ReduceOp::kMin:
      return c10d::ReduceOp::MIN;
  }
  throw std::logic_error("unknown ReduceOp");
}

// c10d's messages carry a C++ stack trace after the first line.
std::string first_line(const std::string& text) {
  return text.substr(0, text.find('\n'));
}

class GlooWork final : public Work {
 public:
  GlooWork(c10::intrusive_ptr<c10d::Work> work, std::string collective, int rank)
      : work_(std::move(work)), collective_(std::move(collective)), rank_(rank) {}

  void wait() override {
    try {
      work_->wait();
    } catch (const std::exception& error) {
      throw CommError(
          "rank " + std::to_string(rank_) + ": " + collective_ + " failed: " + first_line(error.what()),
          CommError::kUnknownPeer, collective_);
    }
  }

  bool is_completed() const override { return work_->isCompleted(); }

 private:
  c10::intrusive_ptr<c10d::Work> work_;
  std::string collective_;
  int rank_;
};

// What is sent and what is received; null where a rank is alone.
class PairWork final : public Work {
 public:
  PairWork(WorkPtr send, WorkPtr receive) : send_(std::move(send)), receive_(std::move(receive)) {}
  void wait() override {
    if (receive_) receive_->wait();
    if (send_) send_->wait();
  }
  bool is_completed() const override {
    return (!send_ || send_->is_completed()) && (!receive_ || receive_->is_completed());
  }

 private:
  WorkPtr send_;
  WorkPtr receive_;
};

class GlooCommunicator final : public Communicator {
 public:
  GlooCommunicator(c10::intrusive_ptr<c10d::Store> store, const CommunicatorOptions& options)
      : rank_(options.placement.rank), world_size_(options.placement.world_size) {
    // Takes the interface from GLOO_SOCKET_IFNAME, else the one that the host name resolves to.
    auto gloo_options = c10d::ProcessGroupGloo::Options::create_default(options.timeout);
    group_ = c10::make_intrusive<c10d::ProcessGroupGloo>(store, rank_, world_size_, gloo_options);
  }

  int rank() const override { return rank_; }
  int world_size() const override { return world_size_; }
  std::string backend() const override { return "gloo"; }

  WorkPtr all_reduce(at::Tensor tensor, ReduceOp op) override {
    check_collective_tensor(tensor, "all_reduce");
    c10d::AllreduceOptions options;
    options.reduceOp = to_c10d(op);
    // Reduce-scatter and all-gather round the ring: every byte but one W-th is sent twice.
    count_bytes(2 * tensor.nbytes() * static_cast<std::size_t>(world_size_ - 1) /
                static_cast<std::size_t>(world_size_));
    std::vector<at::Tensor> tensors = {tensor};
    return track(describe("all_reduce", tensor), [&] { return group_->allreduce(tensors, options); });
  }

  WorkPtr reduce_scatter(at::Tensor output, at::Tensor input, ReduceOp op) override {
    check_collective_blocks(output, input, world_size_, "reduce_scatter");
    c10d::ReduceScatterOptions options;
    options.reduceOp = to_c10d(op);
    count_bytes(output.nbytes() * static_cast<std::size_t>(world_size_ - 1));
    // Gloo compares the blocks' shapes, which are the caller's business.
    at::Tensor block = output.view({-1});
    at::Tensor blocks = input.view({-1});
    return track(describe("reduce_scatter", input),
                 [&] { return group_->_reduce_scatter_base(block, blocks, options); });
  }

  WorkPtr all_gather(at::Tensor output, at::Tensor input) override {
    check_collective_blocks(input, output, world_size_, "all_gather");
    count_bytes(input.nbytes() * static_cast<std::size_t>(world_size_ - 1));
    at::Tensor blocks = output.view({-1});
    at::Tensor block = input.view({-1});
    return track(describe("all_gather", output), [&] { return group_->_allgather_base(blocks, block); });
  }

  WorkPtr broadcast(at::Tensor tensor, int root) override {
    check_collective_tensor(tensor, "broadcast");
    check_root(root, world_size_);
    c10d::BroadcastOptions options;
    options.rootRank = root;
    if (rank_ == root) count_bytes(tensor.nbytes());
    std::vector<at::Tensor> tensors = {tensor};
    return track(describe("broadcast", tensor), [&] { return group_->broadcast(tensors, options); });
  }

  WorkPtr send_receive(at::Tensor output, at::Tensor input) override {
    check_send_receive(output, input);
    if (world_size_ == 1) {
      output.view({-1}).copy_(input.view({-1}));
      return std::make_shared<PairWork>(nullptr, nullptr);
    }
    constexpr int kTag = 0;
    count_bytes(input.nbytes());
    const std::string collective = describe("send_receive", input);
    std::vector<at::Tensor> given = {input};
    std::vector<at::Tensor> taken = {output};
    WorkPtr send =
        track(collective, [&] { return group_->send(given, (rank_ + world_size_ - 1) % world_size_, kTag); });
    WorkPtr receive = track(collective, [&] { return group_->recv(taken, (rank_ + 1) % world_size_, kTag); });
    return std::make_shared<PairWork>(std::move(send), std::move(receive));
  }

  void barrier() override {
    track("barrier #" + std::to_string(sequence_++), [&] { return group_->barrier(); })->wait();
  }

  std::int64_t bytes_sent() const override { return bytes_sent_.load(std::memory_order_relaxed); }

  void shutdown() override { barrier(); }

  void abort(const std::string& reason) noexcept override {
    try {
      const std::scoped_lock lock(mutex_);
      if (reason_.empty()) reason_ = reason;
    } catch (...) {
      std::terminate();  // out of memory for an error message
    }
  }

 private:
  std::string describe(const char* name, const at::Tensor& tensor) {
    return describe_collective(name, sequence_++, tensor.scalar_type(), tensor.numel());
  }

  template <typename Start>
  WorkPtr track(std::string collective, Start start) {
    {
      const std::scoped_lock lock(mutex_);
      if (!reason_.empty())
        throw CommError("rank " + std::to_string(rank_) + ": " + collective + " after an abort: " + reason_);
    }
    try {
      return std::make_shared<GlooWork>(start(), collective, rank_);
    } catch (const std::exception& error) {
      throw CommError(
          "rank " + std::to_string(rank_) + ": " + collective + " failed: " + first_line(error.what()),
          CommError::kUnknownPeer, collective);
    }
  }

  void count_bytes(std::size_t bytes) { bytes_sent_ += static_cast<std::int64_t>(bytes); }

  const int rank_;
  const int world_size_;
  std::uint64_t sequence_ = 0;
  std::atomic<std::int64_t> bytes_sent_{0};
  std::mutex mutex_;
  std::string reason_;
  c10::intrusive_ptr<c10d::ProcessGroupGloo> group_;
};

std::string environment_or(const std::string& option, const char* name) {
  if (!option.empty()) return option;
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace

CommunicatorPtr create_gloo_communicator(const CommunicatorOptions& options) {
  const std::string address = environment_or(options.master_addr, "MASTER_ADDR");
  const std::string port =
      environment_or(options.master_port == 0 ? "" : std::to_string(options.master_port), "MASTER_PORT");
  if (address.empty() || port.empty()) {
    throw std::invalid_argument(
        "the gloo backend needs a rendezvous: give --master-addr and --master-port, or set MASTER_ADDR and "
        "MASTER_PORT");
  }
  c10d::TCPStoreOptions store_options;
  std::size_t parsed = 0;
  unsigned long port_number = 0;
  try {
    port_number = std::stoul(port, &parsed);
  } catch (const std::exception&) {
    parsed = 0;
  }
  if (parsed != port.size() || port_number == 0 || port_number > 65535) {
    throw std::invalid_argument("the rendezvous port '" + port + "' is not a number from 1 to 65535");
  }
  // torchrun's agent hosts the store itself and says so.
  const bool agent_hosts_store = environment_or("", "TORCHELASTIC_USE_AGENT_STORE") == "True";
  store_options.port = static_cast<std::uint16_t>(port_number);
  store_options.isServer = options.placement.rank == 0 && !agent_hosts_store;
  store_options.timeout = options.timeout;
  store_options.waitWorkers = false;
  try {
    auto store = c10::make_intrusive<c10d::TCPStore>(address, store_options);
    // A restarted group must not read what the one before it wrote.
    const std::string attempt = environment_or("", "TORCHELASTIC_RESTART_COUNT");
    return std::make_shared<GlooCommunicator>(
        c10::make_intrusive<c10d::PrefixStore>("lockstep/" + attempt, store), options);
  } catch (const CommError&) {
    throw;
  } catch (const std::exception& error) {
    throw CommError("rank " + std::to_string(options.placement.rank) + " cannot join the others at " +
                    address + ":" + port + ": " + first_line(error.what()));
  }
}

}  // namespace lockstep

#include "bench/collective_contender.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <array>
#include <stdexcept>
#include <utility>

#include "bench/config/text_values.h"
#include "bench/peers/gloo_group.h"
#include "bench/peers/mpi_world.h"
#include "bench/peers/tcp_stream.h"

namespace lockstep {
namespace {

// For those who reduce in place only.
void copy_unless_same(const at::Tensor& output, const at::Tensor& input) {
  if (!output.is_same(input)) output.copy_(input);
}

class Lockstep final : public CollectiveContender {
 public:
  Lockstep(const CollectiveConfig& config, const BenchWorld& world)
      : collective_(config.collective),
        root_(config.root),
        device_(world.device()),
        communicator_(world.communicator()),
        shared_(config.memory == "shared") {}
  std::string name() const override { return "lockstep"; }
  at::Tensor allocate(std::int64_t count, at::ScalarType dtype) override {
    const at::TensorOptions options = at::TensorOptions(device_).dtype(dtype);
    return shared_ ? communicator_->allocate({count}, options) : at::empty({count}, options);
  }
  void run(const at::Tensor& output, const at::Tensor& input) override {
    switch (collective_) {
      case Collective::kAllReduce:
        copy_unless_same(output, input);
        return communicator_->all_reduce(output)->wait();
      case Collective::kReduceScatter:
        return communicator_->reduce_scatter(output, input)->wait();
      case Collective::kAllGather:
        return communicator_->all_gather(output, input)->wait();
      case Collective::kBroadcast:
        return communicator_->broadcast(output, root_)->wait();
      case Collective::kSendReceive:
        return communicator_->send_receive(output, input)->wait();
    }
  }

 private:
  Collective collective_;
  int root_;
  at::Device device_;
  CommunicatorPtr communicator_;
  bool shared_;
};

class Gloo final : public CollectiveContender {
 public:
  Gloo(const CollectiveConfig& config, const BenchWorld& world)
      : collective_(config.collective),
        root_(config.root),
        before_((world.rank() + world.world_size() - 1) % world.world_size()),
        after_((world.rank() + 1) % world.world_size()),
        group_(make_gloo_group(world, name_of(collective_))) {}
  std::string name() const override { return "gloo"; }
  void run(const at::Tensor& output, const at::Tensor& input) override {
    at::Tensor to = output;
    at::Tensor from = input;
    std::vector<at::Tensor> tensors = {output};
    switch (collective_) {
      case Collective::kAllReduce:
        copy_unless_same(output, input);
        group_->allreduce(tensors, c10d::AllreduceOptions())->wait();
        return;
      case Collective::kReduceScatter:
        group_->_reduce_scatter_base(to, from, c10d::ReduceScatterOptions())->wait();
        return;
      case Collective::kAllGather:
        group_->_allgather_base(to, from, c10d::AllgatherOptions())->wait();
        return;
      case Collective::kBroadcast: {
        c10d::BroadcastOptions options;
        options.rootRank = root_;
        group_->broadcast(tensors, options)->wait();
        return;
      }
      case Collective::kSendReceive: {
        std::vector<at::Tensor> given = {input};
        const auto sent = group_->send(given, before_, /*tag=*/0);
        group_->recv(tensors, after_, /*tag=*/0)->wait();
        sent->wait();
        return;
      }
    }
  }

 private:
  Collective collective_;
  int root_;
  int before_;  // the neighbours in the circle of ranks
  int after_;
  c10::intrusive_ptr<c10d::ProcessGroupGloo> group_;
};

class Mpi final : public CollectiveContender {
 public:
  Mpi(const CollectiveConfig& config, MpiWorld& mpi)
      : collective_(config.collective), root_(config.root), mpi_(mpi) {}
  std::string name() const override { return "mpi"; }
  void run(const at::Tensor& output, const at::Tensor& input) override {
    switch (collective_) {
      case Collective::kAllReduce:
        return mpi_.all_reduce(output, input);
      case Collective::kReduceScatter:
        return mpi_.reduce_scatter(output, input);
      case Collective::kAllGather:
        return mpi_.all_gather(output, input);
      case Collective::kBroadcast:
        return mpi_.broadcast(output, root_);
      case Collective::kSendReceive:
        return mpi_.send_receive(output, input);
    }
  }

 private:
  Collective collective_;
  int root_;
  MpiWorld& mpi_;
};

class Tcp final : public CollectiveContender {
 public:
  Tcp(Collective collective, const BenchWorld& world)
      : collective_(collective), stream_(world), world_size_(world.world_size()) {}
  std::string name() const override { return "tcp"; }
  void run(const at::Tensor& output, const at::Tensor& input) override {
    const auto bytes = static_cast<std::int64_t>(std::max(output.nbytes(), input.nbytes()));
    stream_.exchange(static_cast<const char*>(input.const_data_ptr()), input.nbytes(),
                     static_cast<std::size_t>(ring_bytes(collective_, bytes, world_size_)));
  }
  bool has_result() const override { return false; }

 private:
  Collective collective_;
  TcpStream stream_;
  int world_size_;
};

}  // namespace

at::Tensor CollectiveContender::allocate(std::int64_t count, at::ScalarType dtype) {
  return at::empty({count}, at::TensorOptions().dtype(dtype));
}

std::vector<std::unique_ptr<CollectiveContender>> make_collective_contenders(const CollectiveConfig& config,
                                                                             BenchWorld& world) {
  if (config.root >= world.world_size()) {
    throw std::invalid_argument("--root: \"" + std::to_string(config.root) + "\" is no rank of " +
                                std::to_string(world.world_size()) + "; it must be below that");
  }
  if (config.collective == Collective::kSendReceive && world.world_size() < 2)
    throw std::invalid_argument(
        "send-receive: a rank alone has no neighbour; give --nproc-per-node 2 or more");
  std::vector<std::unique_ptr<CollectiveContender>> contenders;
  contenders.push_back(std::make_unique<Lockstep>(config, world));
  for (const std::string& peer : split_list(config.compare)) {
    if (peer == "gloo") {
      contenders.push_back(std::make_unique<Gloo>(config, world));
    } else if (peer == "mpi") {
      if (adds_up(config.collective) && !MpiWorld::knows(parse_dtype(config.dtype))) {
        throw std::invalid_argument("--compare mpi: MPI adds up no " + config.dtype +
                                    "; leave mpi out, or use another --dtype");
      }
      contenders.push_back(std::make_unique<Mpi>(config, world.mpi()));
    } else {
      if (world.world_size() < 2)
        throw std::invalid_argument("--compare tcp: a stream needs at least 2 ranks");
      contenders.push_back(std::make_unique<Tcp>(config.collective, world));
    }
  }
  return contenders;
}

double ring_bytes(Collective collective, std::int64_t bytes, int world_size) {
  const auto whole = static_cast<double>(bytes);
  if (collective == Collective::kBroadcast || collective == Collective::kSendReceive) return whole;
  return whole * (world_size - 1) / world_size * (collective == Collective::kAllReduce ? 2.0 : 1.0);
}

at::ScalarType parse_dtype(const std::string& name) {
  constexpr std::array<std::pair<const char*, at::ScalarType>, 7> kDtypes = {{{"float32", at::kFloat},
                                                                              {"float64", at::kDouble},
                                                                              {"float16", at::kHalf},
                                                                              {"bfloat16", at::kBFloat16},
                                                                              {"int32", at::kInt},
                                                                              {"int64", at::kLong},
                                                                              {"uint8", at::kByte}}};
  for (const auto& [known, dtype] : kDtypes) {
    if (name == known) return dtype;
  }
  throw std::invalid_argument("--dtype: " + name + " is unknown");
}

}  // namespace lockstep

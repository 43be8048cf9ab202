#include "bench/collective_contender.h"

#include <ATen/ops/empty.h>

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
  Lockstep(CommunicatorPtr communicator, bool shared)
      : communicator_(std::move(communicator)), shared_(shared) {}
  std::string name() const override { return "lockstep"; }
  at::Tensor allocate(std::int64_t count, at::ScalarType dtype) override {
    return shared_ ? communicator_->allocate({count}, at::TensorOptions().dtype(dtype))
                   : CollectiveContender::allocate(count, dtype);
  }
  void run(const at::Tensor& output, const at::Tensor& input) override {
    copy_unless_same(output, input);
    communicator_->all_reduce(output)->wait();
  }

 private:
  CommunicatorPtr communicator_;
  bool shared_;
};

class Gloo final : public CollectiveContender {
 public:
  explicit Gloo(const BenchWorld& world) : group_(make_gloo_group(world, "all-reduce")) {}
  std::string name() const override { return "gloo"; }
  void run(const at::Tensor& output, const at::Tensor& input) override {
    copy_unless_same(output, input);
    std::vector<at::Tensor> tensors = {output};
    group_->allreduce(tensors, c10d::AllreduceOptions())->wait();
  }

 private:
  c10::intrusive_ptr<c10d::ProcessGroupGloo> group_;
};

class Mpi final : public CollectiveContender {
 public:
  explicit Mpi(MpiWorld& mpi) : mpi_(mpi) {}
  std::string name() const override { return "mpi"; }
  void run(const at::Tensor& output, const at::Tensor& input) override { mpi_.all_reduce(output, input); }

 private:
  MpiWorld& mpi_;
};

class Tcp final : public CollectiveContender {
 public:
  explicit Tcp(const BenchWorld& world) : stream_(world), world_size_(world.world_size()) {}
  std::string name() const override { return "tcp"; }
  void run(const at::Tensor& /*output*/, const at::Tensor& input) override {
    const auto bytes = static_cast<std::int64_t>(input.nbytes());
    stream_.exchange(static_cast<const char*>(input.const_data_ptr()), input.nbytes(),
                     static_cast<std::size_t>(ring_bytes(bytes, world_size_)));
  }
  bool adds_up() const override { return false; }

 private:
  TcpStream stream_;
  int world_size_;
};

}  // namespace

at::Tensor CollectiveContender::allocate(std::int64_t count, at::ScalarType dtype) {
  return at::empty({count}, at::TensorOptions().dtype(dtype));
}

std::vector<std::unique_ptr<CollectiveContender>> make_collective_contenders(const CollectiveConfig& config,
                                                                            BenchWorld& world) {
  std::vector<std::unique_ptr<CollectiveContender>> contenders;
  contenders.push_back(std::make_unique<Lockstep>(world.communicator(), config.memory == "shared"));
  for (const std::string& peer : split_list(config.compare)) {
    if (peer == "gloo") {
      contenders.push_back(std::make_unique<Gloo>(world));
    } else if (peer == "mpi") {
      if (!MpiWorld::knows(parse_dtype(config.dtype))) {
        throw std::invalid_argument("--compare mpi: MPI knows no " + config.dtype +
                                    "; leave mpi out, or use another --dtype");
      }
      contenders.push_back(std::make_unique<Mpi>(world.mpi()));
    } else {
      if (world.world_size() < 2)
        throw std::invalid_argument("--compare tcp: a stream needs at least 2 ranks");
      contenders.push_back(std::make_unique<Tcp>(world));
    }
  }
  return contenders;
}

double ring_bytes(std::int64_t bytes, int world_size) {
  return 2.0 * static_cast<double>(bytes) * (world_size - 1) / world_size;
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

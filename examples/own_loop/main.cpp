// One's own module in one's own loop, data-parallel: start it with `mpiexec -n 2 own_loop`, or alone.
#include <torch/nn/modules/linear.h>
#include <torch/optim/sgd.h>

#include <cstdio>
#include <string_view>

#include <lockstep/comm/backend.h>
#include <lockstep/comm/distributed_data_parallel.h>

struct Net : torch::nn::Module {
  torch::nn::Linear hidden = register_module("hidden", torch::nn::Linear(8, 32));
  torch::nn::Linear output = register_module("output", torch::nn::Linear(32, 1));
  torch::Tensor forward(const torch::Tensor& x) { return output(torch::relu(hidden(x))); }
};

int main() try {
  const auto comm = lockstep::create_communicator({});
  torch::manual_seed(comm->rank());  // every rank starts differently and draws its own data ...
  const auto net = std::make_shared<Net>();
  lockstep::DistributedDataParallel<Net> model(net, comm);  // ... but rank 0's parameters count
  torch::optim::SGD optimizer(net->parameters(), /*lr=*/0.01);
  double loss_value = 0;
  for (int step = 0; step < 50; ++step) {
    const auto x = torch::randn({32, 8});
    const auto loss = torch::mse_loss(model.forward(x), x.sum(/*dim=*/1, /*keepdim=*/true));
    optimizer.zero_grad();
    loss.backward();  // averages the gradients over the ranks while it runs
    optimizer.step();
    loss_value = loss.item<double>();
  }
  std::size_t hash = 0;  // equal on all ranks, as their parameters are
  for (const auto& p : net->parameters())
    hash = hash * 31 + std::hash<std::string_view>()({static_cast<const char*>(p.data_ptr()), p.nbytes()});
  std::printf("rank %d of %d: loss %.4f, parameters %016zx\n", comm->rank(), comm->world_size(), loss_value,
              hash);
  comm->shutdown();  // a rank that fails does not, and its launcher ends the others
} catch (const std::exception& error) {
  std::fprintf(stderr, "own_loop: %s\n", error.what());
  return 1;
}

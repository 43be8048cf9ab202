// mlp: flatten, then Linear-ReLU-Linear-ReLU-Linear with 512 hidden units; 669,706 parameters for 28x28
// pictures and 10 classes. Its twin in Python is MLP in bench/peers/models.py.
#include <stdexcept>

#include "trainer/models/factories.h"
#include "trainer/models/linear.h"
#include "trainer/models/models.h"
#include "trainer/models/picture_sizes.h"

namespace lockstep {
namespace {

class Mlp final : public Model {
 public:
  Mlp(std::int64_t in_features, const std::vector<std::int64_t>& hidden, std::int64_t num_classes,
      std::string adaptation)
      : adaptation_(std::move(adaptation)) {
    // One statement a layer: as arguments of one call they would draw their initial values in any order.
    std::int64_t width = in_features;
    for (const std::int64_t next : hidden) {
      net_->push_back(PythonLinear(width, next));
      net_->push_back(torch::nn::ReLU());
      width = next;
    }
    net_->push_back(PythonLinear(width, num_classes));
    register_module("net", net_);
  }

  at::Tensor forward(at::Tensor data) override { return net_->forward(data.flatten(1)); }
  std::string adaptation() const override { return adaptation_; }

 private:
  torch::nn::Sequential net_;
  std::string adaptation_;
};

}  // namespace

std::shared_ptr<Model> make_mlp(const DatasetShape& shape) {
  return create_mlp(shape, {512, 512});
}

std::shared_ptr<Model> create_mlp(const DatasetShape& shape, const std::vector<std::int64_t>& hidden) {
  if (hidden.empty()) throw std::invalid_argument("model mlp needs at least one hidden layer");
  std::int64_t in_features = shape.sample_sizes.empty() ? 0 : 1;
  for (const std::int64_t size : shape.sample_sizes) {
    if (size < 1 || __builtin_mul_overflow(in_features, size, &in_features)) in_features = 0;
  }
  if (in_features == 0) {
    throw std::invalid_argument(
        "model mlp takes samples of at least one number and fewer than 2^63, but one sample is " +
        sizes_text(shape.sample_sizes));
  }
  return std::make_shared<Mlp>(in_features, hidden, shape.num_classes,
                               "net.0 takes " + count_of(in_features, "number", "numbers") + " " +
                                   sizes_text(shape.sample_sizes) + ", net." +
                                   std::to_string(2 * hidden.size()) + " gives " +
                                   count_of(shape.num_classes, "class", "classes"));
}

}  // namespace lockstep

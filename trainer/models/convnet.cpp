// convnet: a small network in the manner of LeNet (LeCun et al. 1998): two padded 3x3 convolutions with 16
// and 32 channels, each followed by 2x2 max-pooling and ReLU, then two linear layers. For 28x28 pictures and
// 10 classes it has 206,922 parameters, and one CPU core trains a batch of 64 in about 22 ms. Pooling comes
// before ReLU, which gives the same numbers for a quarter of the work. Its twin in Python is ConvNet in
// bench/peers/models.py.
#include <ATen/ops/max_pool2d.h>

#include "trainer/models/factories.h"
#include "trainer/models/linear.h"
#include "trainer/models/picture_sizes.h"

namespace lockstep {
namespace {

constexpr std::int64_t kChannels1 = 16;
constexpr std::int64_t kChannels2 = 32;
constexpr std::int64_t kHidden = 128;
constexpr std::int64_t kSmallestSide = 4;  // leaves one pixel after both poolings

std::int64_t side_after_poolings(std::int64_t side) {
  return side / 2 / 2;
}

class ConvNet final : public Model {
 public:
  ConvNet(const PictureSizes& picture, std::int64_t num_classes, std::string adaptation)
      : conv1_(torch::nn::Conv2dOptions(picture.channels, kChannels1, 3).padding(1)),
        conv2_(torch::nn::Conv2dOptions(kChannels1, kChannels2, 3).padding(1)),
        fc1_(kChannels2 * side_after_poolings(picture.height) * side_after_poolings(picture.width), kHidden),
        fc2_(kHidden, num_classes),
        adaptation_(std::move(adaptation)) {
    register_module("conv1", conv1_);
    register_module("conv2", conv2_);
    register_module("fc1", fc1_);
    register_module("fc2", fc2_);
  }

  at::Tensor forward(at::Tensor data) override {
    auto x = at::max_pool2d(conv1_->forward(data), {2, 2}).relu();
    x = at::max_pool2d(conv2_->forward(x), {2, 2}).relu();
    x = project(fc1_, x.flatten(1)).relu();
    return project(fc2_, x);
  }
  std::string adaptation() const override { return adaptation_; }

 private:
  // In the order in which Python's twin makes them: each draws its initial values as it is made.
  torch::nn::Conv2d conv1_, conv2_;
  torch::nn::Linear fc1_, fc2_;
  std::string adaptation_;
};

}  // namespace

std::shared_ptr<Model> make_convnet(const DatasetShape& shape) {
  const PictureSizes picture = picture_sizes(shape, "convnet", kSmallestSide);
  return std::make_shared<ConvNet>(picture, shape.num_classes,
                                   "conv1 takes " + count_of(picture.channels, "channel", "channels") +
                                       " of " + std::to_string(picture.height) + "x" +
                                       std::to_string(picture.width) + " pixels, fc2 gives " +
                                       count_of(shape.num_classes, "class", "classes"));
}

}  // namespace lockstep

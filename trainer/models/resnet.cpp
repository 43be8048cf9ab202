// resnet18, 34, 50 and 101: He et al. 2015, "Deep Residual Learning for Image Recognition", exactly as
// torchvision builds them (names, registration and random draws), with 11,689,512, 21,797,672, 25,557,032 and
// 44,549,160 parameters for 3 channels and 1000 classes. The two larger ones are v1.5: a bottleneck's stride
// is on its 3x3 convolution.
// Pictures below 64 pixels get the paper's CIFAR stem (section 4.2): a 3x3 convolution with stride 1 and no
// max-pooling, since the usual stem would shrink them to nothing. Their twin in Python is ResNet in
// bench/peers/models.py.
#include <ATen/ops/adaptive_avg_pool2d.h>
#include <ATen/ops/max_pool2d.h>

#include <array>

#include "comm/sync_batch_norm.h"
#include "trainer/models/factories.h"
#include "trainer/models/linear.h"
#include "trainer/models/picture_sizes.h"
#include "trainer/recompute/checkpointed_block.h"

namespace lockstep {
namespace {

constexpr std::int64_t kSmallestSideOfUsualStem = 64;

torch::nn::Conv2d convolution(std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride) {
  return torch::nn::Conv2d(
      torch::nn::Conv2dOptions(in, out, kernel).stride(stride).padding(kernel / 2).bias(false));
}

// Two 3x3 convolutions and the way around them; `downsample` (may be null) fits that way to the new shape.
class BasicBlock final : public CheckpointedBlock {
 public:
  static constexpr std::int64_t kExpansion = 1;

  BasicBlock(std::int64_t in, std::int64_t out, std::int64_t stride, torch::nn::Sequential downsample)
      : conv1_(convolution(in, out, 3, stride)),
        bn1_(out),
        conv2_(convolution(out, out, 3, 1)),
        bn2_(out),
        downsample_(std::move(downsample)) {
    register_module("conv1", conv1_);
    register_module("bn1", bn1_);
    register_module("conv2", conv2_);
    register_module("bn2", bn2_);
    if (!downsample_.is_empty()) register_module("downsample", downsample_);
  }

 private:
  at::Tensor compute(const at::Tensor& x) override {
    auto out = bn1_->forward(conv1_->forward(x)).relu_();
    out = bn2_->forward(conv2_->forward(out));
    out += downsample_.is_empty() ? x : downsample_->forward(x);
    return out.relu_();
  }

  torch::nn::Conv2d conv1_;
  SyncBatchNorm bn1_;
  torch::nn::Conv2d conv2_;
  SyncBatchNorm bn2_;
  torch::nn::Sequential downsample_;
};

// A 1x1 convolution to `width` channels, a 3x3 one, and a 1x1 one to four times as many.
class Bottleneck final : public CheckpointedBlock {
 public:
  static constexpr std::int64_t kExpansion = 4;

  Bottleneck(std::int64_t in, std::int64_t width, std::int64_t stride, torch::nn::Sequential downsample)
      : conv1_(convolution(in, width, 1, 1)),
        bn1_(width),
        conv2_(convolution(width, width, 3, stride)),
        bn2_(width),
        conv3_(convolution(width, width * kExpansion, 1, 1)),
        bn3_(width * kExpansion),
        downsample_(std::move(downsample)) {
    register_module("conv1", conv1_);
    register_module("bn1", bn1_);
    register_module("conv2", conv2_);
    register_module("bn2", bn2_);
    register_module("conv3", conv3_);
    register_module("bn3", bn3_);
    if (!downsample_.is_empty()) register_module("downsample", downsample_);
  }

 private:
  at::Tensor compute(const at::Tensor& x) override {
    auto out = bn1_->forward(conv1_->forward(x)).relu_();
    out = bn2_->forward(conv2_->forward(out)).relu_();
    out = bn3_->forward(conv3_->forward(out));
    out += downsample_.is_empty() ? x : downsample_->forward(x);
    return out.relu_();
  }

  torch::nn::Conv2d conv1_;
  SyncBatchNorm bn1_;
  torch::nn::Conv2d conv2_;
  SyncBatchNorm bn2_;
  torch::nn::Conv2d conv3_;
  SyncBatchNorm bn3_;
  torch::nn::Sequential downsample_;
};

// `blocks` blocks of `width`; the first has the stride and takes `in` channels.
template <class Block>
torch::nn::Sequential stage(std::int64_t in, std::int64_t width, std::int64_t stride, int blocks) {
  const std::int64_t out = width * Block::kExpansion;
  // torchvision makes the downsampling before the block that registers it last, and so draws for it first.
  torch::nn::Sequential downsample = nullptr;
  if (stride != 1 || in != out) {
    downsample = torch::nn::Sequential();
    downsample->push_back(convolution(in, out, 1, stride));
    downsample->push_back(SyncBatchNorm(out));
  }
  torch::nn::Sequential made;
  made->push_back(std::make_shared<Block>(in, width, stride, downsample));
  for (int i = 1; i < blocks; ++i) made->push_back(std::make_shared<Block>(out, width, 1, nullptr));
  return made;
}

using Depths = std::array<int, 4>;  // blocks of each stage

template <class Block>
class ResNet final : public Model {
 public:
  ResNet(const Depths& depths, const PictureSizes& picture, std::int64_t num_classes, bool small_stem,
         std::string adaptation)
      : small_stem_(small_stem),
        conv1_(small_stem ? convolution(picture.channels, 64, 3, 1)
                          : convolution(picture.channels, 64, 7, 2)),
        bn1_(64),
        layer1_(stage<Block>(64, 64, 1, depths[0])),
        layer2_(stage<Block>(64 * Block::kExpansion, 128, 2, depths[1])),
        layer3_(stage<Block>(128 * Block::kExpansion, 256, 2, depths[2])),
        layer4_(stage<Block>(256 * Block::kExpansion, 512, 2, depths[3])),
        fc_(512 * Block::kExpansion, num_classes),
        adaptation_(std::move(adaptation)) {
    register_module("conv1", conv1_);
    register_module("bn1", bn1_);
    register_module("layer1", layer1_);
    register_module("layer2", layer2_);
    register_module("layer3", layer3_);
    register_module("layer4", layer4_);
    register_module("fc", fc_);
    // Over everything in the order of registration, after every layer has drawn its own default. BatchNorm's
    // weight 1 and bias 0, which torchvision sets here, are LibTorch's default; fc keeps its default.
    for (const auto& module : this->modules(/*include_self=*/false)) {
      if (auto* conv = module->as<torch::nn::Conv2d>()) {
        torch::nn::init::kaiming_normal_(conv->weight, 0.0, torch::kFanOut, torch::kReLU);
      }
    }
  }

  at::Tensor forward(at::Tensor data) override {
    auto x = bn1_->forward(conv1_->forward(data)).relu_();
    if (!small_stem_) x = at::max_pool2d(x, {3, 3}, {2, 2}, {1, 1});
    x = layer1_->forward(x);
    x = layer2_->forward(x);
    x = layer3_->forward(x);
    x = layer4_->forward(x);
    return project(fc_, at::adaptive_avg_pool2d(x, {1, 1}).flatten(1));
  }
  std::string adaptation() const override { return adaptation_; }

 private:
  bool small_stem_;
  torch::nn::Conv2d conv1_;
  SyncBatchNorm bn1_;
  torch::nn::Sequential layer1_, layer2_, layer3_, layer4_;
  torch::nn::Linear fc_;
  std::string adaptation_;
};

template <class Block>
std::shared_ptr<Model> make_resnet(const char* name, const Depths& depths, const DatasetShape& shape) {
  const PictureSizes picture = picture_sizes(shape, name, 1);
  const bool small_stem = std::min(picture.height, picture.width) < kSmallestSideOfUsualStem;
  std::string adaptation = "conv1 takes " + count_of(picture.channels, "channel", "channels");
  if (small_stem) {
    adaptation += " and is 3x3 with stride 1, without max-pooling, because " +
                  std::to_string(picture.height) + "x" + std::to_string(picture.width) +
                  " pixels are fewer than 64x64";
  }
  adaptation += ", fc gives " + count_of(shape.num_classes, "class", "classes");
  return std::make_shared<ResNet<Block>>(depths, picture, shape.num_classes, small_stem,
                                         std::move(adaptation));
}

}  // namespace

std::shared_ptr<Model> make_resnet18(const DatasetShape& shape) {
  return make_resnet<BasicBlock>("resnet18", {2, 2, 2, 2}, shape);
}

std::shared_ptr<Model> make_resnet34(const DatasetShape& shape) {
  return make_resnet<BasicBlock>("resnet34", {3, 4, 6, 3}, shape);
}

std::shared_ptr<Model> make_resnet50(const DatasetShape& shape) {
  return make_resnet<Bottleneck>("resnet50", {3, 4, 6, 3}, shape);
}

std::shared_ptr<Model> make_resnet101(const DatasetShape& shape) {
  return make_resnet<Bottleneck>("resnet101", {3, 4, 23, 3}, shape);
}

}  // namespace lockstep

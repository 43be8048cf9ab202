// resnet18: He et al. 2015, "Deep Residual Learning for Image Recognition", exactly as torchvision builds it
// (names, registration and random draws), with 11,689,512 parameters for 3 channels and 1000 classes.
// Pictures below 64 pixels get the paper's CIFAR stem (section 4.2): a 3x3 convolution with stride 1 and no
// max-pooling, since the usual stem would shrink them to nothing. Its twin in Python is ResNet18 in
// tests/reference/models.py.
#include <ATen/ops/adaptive_avg_pool2d.h>
#include <ATen/ops/max_pool2d.h>

#include "comm/sync_batch_norm.h"
#include "trainer/models/factories.h"
#include "trainer/models/picture_sizes.h"

namespace lockstep {
namespace {

constexpr std::int64_t kSmallestSideOfUsualStem = 64;

torch::nn::Conv2d convolution(std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride) {
  return torch::nn::Conv2d(
      torch::nn::Conv2dOptions(in, out, kernel).stride(stride).padding(kernel / 2).bias(false));
}

// Two 3x3 convolutions and the way around them; `downsample` (may be null) fits that way to the new shape.
class BasicBlock final : public torch::nn::Module {
 public:
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

  at::Tensor forward(at::Tensor x) {
    auto out = bn1_->forward(conv1_->forward(x)).relu_();
    out = bn2_->forward(conv2_->forward(out));
    out += downsample_.is_empty() ? x : downsample_->forward(x);
    return out.relu_();
  }

 private:
  torch::nn::Conv2d conv1_;
  SyncBatchNorm bn1_;
  torch::nn::Conv2d conv2_;
  SyncBatchNorm bn2_;
  torch::nn::Sequential downsample_;
};

torch::nn::Sequential stage(std::int64_t in, std::int64_t out, std::int64_t stride) {
  // torchvision makes the downsampling before the block that registers it last, and so draws for it first.
  torch::nn::Sequential downsample = nullptr;
  if (stride != 1 || in != out) {
    downsample = torch::nn::Sequential();
    downsample->push_back(convolution(in, out, 1, stride));
    downsample->push_back(SyncBatchNorm(out));
  }
  torch::nn::Sequential blocks;
  blocks->push_back(std::make_shared<BasicBlock>(in, out, stride, downsample));
  blocks->push_back(std::make_shared<BasicBlock>(out, out, 1, nullptr));
  return blocks;
}

class ResNet18 final : public Model {
 public:
  ResNet18(const PictureSizes& picture, std::int64_t num_classes, bool small_stem, std::string adaptation)
      : small_stem_(small_stem),
        conv1_(small_stem ? convolution(picture.channels, 64, 3, 1)
                          : convolution(picture.channels, 64, 7, 2)),
        bn1_(64),
        layer1_(stage(64, 64, 1)),
        layer2_(stage(64, 128, 2)),
        layer3_(stage(128, 256, 2)),
        layer4_(stage(256, 512, 2)),
        fc_(512, num_classes),
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
    for (const auto& module : modules(/*include_self=*/false)) {
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
    return fc_->forward(at::adaptive_avg_pool2d(x, {1, 1}).flatten(1));
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

}  // namespace

std::shared_ptr<Model> make_resnet18(const DatasetShape& shape) {
  const PictureSizes picture = picture_sizes(shape, "resnet18", 1);
  const bool small_stem = std::min(picture.height, picture.width) < kSmallestSideOfUsualStem;
  std::string adaptation = "conv1 takes " + count_of(picture.channels, "channel", "channels");
  if (small_stem) {
    adaptation += " and is 3x3 with stride 1, without max-pooling, because " +
                  std::to_string(picture.height) + "x" + std::to_string(picture.width) +
                  " pixels are fewer than 64x64";
  }
  adaptation += ", fc gives " + count_of(shape.num_classes, "class", "classes");
  return std::make_shared<ResNet18>(picture, shape.num_classes, small_stem, std::move(adaptation));
}

}  // namespace lockstep

// gpt2 (124M) and gpt2-mini: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners",
// exactly as Hugging Face's GPT2LMHeadModel (transformers 4.57) builds and computes it with attention "sdpa"
// and use_cache off: names, registration, random draws, dropout of 0.1, and the order of operations. lm_head
// shares wte's weight, which is therefore saved once, as transformer.wte.weight, as in Hugging Face's
// safetensors. For GPT-2's vocabulary of 50,257 tokens gpt2 has 124,439,808 parameters.
#include <ATen/ops/addmm.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/tanh.h>
#include <ATen/ops/zeros.h>

#include <cmath>
#include <numbers>

#include "trainer/models/factories.h"
#include "trainer/models/picture_sizes.h"
#include "trainer/models/token_model.h"
#include "trainer/recompute/checkpointed_block.h"

namespace lockstep {
namespace {

constexpr double kDropout = 0.1;
constexpr double kLayerNormEps = 1e-5;
constexpr double kInitialStd = 0.02;

struct Gpt2Sizes {
  std::int64_t layers;
  std::int64_t heads;
  std::int64_t width;      // of a token's representation; a multiple of heads
  std::int64_t positions;  // the longest sequence
};

torch::nn::LayerNorm layer_norm(std::int64_t width) {
  return torch::nn::LayerNorm(torch::nn::LayerNormOptions({width}).eps(kLayerNormEps));
}

// A linear layer whose weight is (in, out), as OpenAI's code had it.
class Conv1D final : public torch::nn::Module {
 public:
  Conv1D(std::int64_t in, std::int64_t out)
      : weight(register_parameter("weight", at::empty({in, out}))),
        bias(register_parameter("bias", at::zeros({out}))) {
    draw_normal(weight, kInitialStd);
  }
  at::Tensor forward(const at::Tensor& x) const {
    auto sizes = x.sizes().vec();
    sizes.back() = weight.size(1);
    return at::addmm(bias, x.view({-1, x.size(-1)}), weight).view(sizes);
  }

  at::Tensor weight;
  at::Tensor bias;
};

// The tanh approximation of GELU, operation by operation: autograd adds gradients in the order of these
// lines.
at::Tensor gelu_new(const at::Tensor& x) {
  const at::Tensor half = 0.5 * x;
  const at::Tensor cube = at::pow(x, 3.0);
  const at::Tensor inner = x + 0.044715 * cube;
  const at::Tensor bent = at::tanh(std::sqrt(2.0 / std::numbers::pi) * inner);
  return half * (1.0 + bent);
}

class Attention final : public torch::nn::Module {
 public:
  explicit Attention(const Gpt2Sizes& sizes)
      : heads_(sizes.heads),
        c_attn_(register_module("c_attn", std::make_shared<Conv1D>(sizes.width, 3 * sizes.width))),
        c_proj_(register_module("c_proj", std::make_shared<Conv1D>(sizes.width, sizes.width))),
        resid_dropout_(register_module("resid_dropout", torch::nn::Dropout(kDropout))) {}

  // (B, T, width) to the same.
  at::Tensor forward(const at::Tensor& x) {
    const std::vector<std::int64_t> by_head = {x.size(0), x.size(1), heads_, x.size(2) / heads_};
    const auto projected = c_attn_->forward(x).split(x.size(2), 2);
    const at::Tensor key = projected[1].view(by_head).transpose(1, 2);
    const at::Tensor value = projected[2].view(by_head).transpose(1, 2);
    const at::Tensor query = projected[0].view(by_head).transpose(1, 2);
    const bool is_causal = x.size(1) > 1;
    const at::Tensor attended = at::scaled_dot_product_attention(query, key, value, /*attn_mask=*/{},
                                                                 is_training() ? kDropout : 0.0, is_causal);
    const at::Tensor merged = attended.transpose(1, 2).contiguous().reshape(x.sizes());
    return resid_dropout_->forward(c_proj_->forward(merged));
  }
  const at::Tensor& residual_weight() const { return c_proj_->weight; }

 private:
  std::int64_t heads_;
  std::shared_ptr<Conv1D> c_attn_;
  std::shared_ptr<Conv1D> c_proj_;
  torch::nn::Dropout resid_dropout_;
};

class FeedForward final : public torch::nn::Module {
 public:
  explicit FeedForward(std::int64_t width)
      : c_fc_(register_module("c_fc", std::make_shared<Conv1D>(width, 4 * width))),
        c_proj_(register_module("c_proj", std::make_shared<Conv1D>(4 * width, width))),
        dropout_(register_module("dropout", torch::nn::Dropout(kDropout))) {}

  at::Tensor forward(const at::Tensor& x) {
    return dropout_->forward(c_proj_->forward(gelu_new(c_fc_->forward(x))));
  }
  const at::Tensor& residual_weight() const { return c_proj_->weight; }

 private:
  std::shared_ptr<Conv1D> c_fc_;
  std::shared_ptr<Conv1D> c_proj_;
  torch::nn::Dropout dropout_;
};

class Block final : public CheckpointedBlock {
 public:
  explicit Block(const Gpt2Sizes& sizes)
      : ln_1_(register_module("ln_1", layer_norm(sizes.width))),
        attn_(register_module("attn", std::make_shared<Attention>(sizes))),
        ln_2_(register_module("ln_2", layer_norm(sizes.width))),
        mlp_(register_module("mlp", std::make_shared<FeedForward>(sizes.width))) {}

 private:
  at::Tensor compute(const at::Tensor& x) override {
    const at::Tensor attended = attn_->forward(ln_1_->forward(x)) + x;
    return attended + mlp_->forward(ln_2_->forward(attended));
  }

  torch::nn::LayerNorm ln_1_;
  std::shared_ptr<Attention> attn_;
  torch::nn::LayerNorm ln_2_;
  std::shared_ptr<FeedForward> mlp_;
};

// GPT2PreTrainedModel._init_weights: c_proj is drawn a second time by the module that holds it.
void initialize(torch::nn::Module& module, std::int64_t layers) {
  const double residual_std = kInitialStd / std::sqrt(2.0 * static_cast<double>(layers));
  if (auto* conv = module.as<Conv1D>()) draw_normal(conv->weight, kInitialStd);
  if (auto* embedding = module.as<torch::nn::Embedding>()) draw_normal(embedding->weight, kInitialStd);
  if (auto* attention = module.as<Attention>()) draw_normal(attention->residual_weight(), residual_std);
  if (auto* mlp = module.as<FeedForward>()) draw_normal(mlp->residual_weight(), residual_std);
}

class Gpt2Transformer final : public torch::nn::Module {
 public:
  Gpt2Transformer(const Gpt2Sizes& sizes, std::int64_t vocabulary_size)
      : wte(register_module("wte", torch::nn::Embedding(vocabulary_size, sizes.width))),
        wpe_(register_module("wpe", torch::nn::Embedding(sizes.positions, sizes.width))),
        drop_(register_module("drop", torch::nn::Dropout(kDropout))) {
    const auto blocks = register_module("h", std::make_shared<torch::nn::Module>());
    for (std::int64_t i = 0; i < sizes.layers; ++i)
      h_.push_back(blocks->register_module(std::to_string(i), std::make_shared<Block>(sizes)));
    ln_f_ = register_module("ln_f", layer_norm(sizes.width));
    for_each_in_post_order(*this, [&](torch::nn::Module& module) { initialize(module, sizes.layers); });
  }

  // Tokens (B, T) to representations (B, T, width).
  at::Tensor forward(const at::Tensor& tokens) {
    const at::Tensor embedded = wte->forward(tokens);
    const at::Tensor positions = at::arange(tokens.size(1), tokens.options()).unsqueeze(0);
    at::Tensor x = drop_->forward(embedded + wpe_->forward(positions));
    for (const auto& block : h_) x = block->forward(x);
    return ln_f_->forward(x);
  }

  torch::nn::Embedding wte;

 private:
  torch::nn::Embedding wpe_;
  torch::nn::Dropout drop_;
  std::vector<std::shared_ptr<Block>> h_;
  torch::nn::LayerNorm ln_f_ = nullptr;
};

class Gpt2 final : public Model {
 public:
  Gpt2(const Gpt2Sizes& sizes, std::int64_t vocabulary_size, std::string adaptation)
      : transformer_(
            register_module("transformer", std::make_shared<Gpt2Transformer>(sizes, vocabulary_size))),
        adaptation_(std::move(adaptation)) {
    // The reference makes an lm_head of its own and initialises it before it takes wte's weight: drawn, so
    // that what is drawn next is the same.
    const torch::nn::Linear lm_head(torch::nn::LinearOptions(sizes.width, vocabulary_size).bias(false));
    draw_normal(lm_head->weight, kInitialStd);
  }

  // `data` (B, T) int64; returns logits (B, T, vocabulary).
  at::Tensor forward(at::Tensor data) override {
    return at::linear(transformer_->forward(data), transformer_->wte->weight);
  }
  // The mean over all tokens; `target` (B, T), where -100 does not count.
  at::Tensor loss(const at::Tensor& output, const at::Tensor& target) const override {
    return Model::loss(by_token(output), target.view(-1));
  }
  at::Tensor score(const at::Tensor& output, const at::Tensor& target) const override {
    return Model::score(by_token(output), target.view(-1));
  }
  std::string adaptation() const override { return adaptation_; }

 private:
  static at::Tensor by_token(const at::Tensor& logits) { return logits.view({-1, logits.size(-1)}); }

  std::shared_ptr<Gpt2Transformer> transformer_;
  std::string adaptation_;
};

std::shared_ptr<Model> make_gpt2(const char* name, const Gpt2Sizes& sizes, const DatasetShape& shape) {
  const TokenSizes tokens = token_sizes(shape, name, TokenTask::kNextToken, sizes.positions);
  return std::make_shared<Gpt2>(
      sizes, tokens.vocabulary_size,
      "transformer.wte takes " + count_of(tokens.vocabulary_size, "token", "tokens") + ", sequences have " +
          std::to_string(tokens.sequence_length) + " of at most " + std::to_string(sizes.positions));
}

}  // namespace

std::shared_ptr<Model> make_gpt2_124m(const DatasetShape& shape) {
  return make_gpt2("gpt2", {.layers = 12, .heads = 12, .width = 768, .positions = 1024}, shape);
}

std::shared_ptr<Model> make_gpt2_mini(const DatasetShape& shape) {
  return make_gpt2("gpt2-mini", {.layers = 4, .heads = 4, .width = 128, .positions = 256}, shape);
}

}  // namespace lockstep

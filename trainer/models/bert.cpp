// bert-base and bert-mini: Devlin et al. 2018, "BERT: Pre-training of Deep Bidirectional Transformers", with
// the heads of both pre-training tasks, exactly as Hugging Face's BertForPreTraining (transformers 4.57)
// builds and computes it with attention "sdpa": names, registration, random draws, dropout of 0.1, and the
// order of operations. The decoder of the masked tokens shares the word embeddings' weight and
// cls.predictions.bias, which are therefore saved once. For BERT's vocabulary of 30,522 tokens bert-base has
// 110,106,428 parameters, 109,482,240 of them in the encoder with its pooler; bert-mini has the sizes of Turc
// et al. 2019.
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/tanh.h>
#include <ATen/ops/zeros.h>

#include "trainer/models/factories.h"
#include "trainer/models/linear.h"
#include "trainer/models/picture_sizes.h"
#include "trainer/models/token_model.h"
#include "trainer/recompute/checkpointed_block.h"

namespace lockstep {
namespace {

constexpr double kDropout = 0.1;
constexpr double kLayerNormEps = 1e-12;
constexpr double kInitialStd = 0.02;
constexpr std::int64_t kPadding = 0;   // the token whose embedding is zero and stays so
constexpr std::int64_t kSegments = 2;  // A and B

struct BertSizes {
  std::int64_t layers;
  std::int64_t heads;
  std::int64_t width;  // of a token's representation; a multiple of heads
  std::int64_t intermediate_width;
  std::int64_t positions;  // the longest sequence
};

torch::nn::LayerNorm layer_norm(std::int64_t width) {
  return torch::nn::LayerNorm(torch::nn::LayerNormOptions({width}).eps(kLayerNormEps));
}

class Embeddings final : public torch::nn::Module {
 public:
  Embeddings(const BertSizes& sizes, std::int64_t vocabulary_size)
      : word(register_module(
            "word_embeddings",
            torch::nn::Embedding(
                torch::nn::EmbeddingOptions(vocabulary_size, sizes.width).padding_idx(kPadding)))),
        position_(register_module("position_embeddings", torch::nn::Embedding(sizes.positions, sizes.width))),
        token_type_(register_module("token_type_embeddings", torch::nn::Embedding(kSegments, sizes.width))),
        norm_(register_module("LayerNorm", layer_norm(sizes.width))),
        dropout_(register_module("dropout", torch::nn::Dropout(kDropout))) {}

  // Tokens and segments (B, T) to (B, T, width).
  at::Tensor forward(const at::Tensor& tokens, const at::Tensor& segments) {
    const at::Tensor words = word->forward(tokens);
    at::Tensor sum = words + token_type_->forward(segments);
    sum += position_->forward(at::arange(tokens.size(1), tokens.options()).unsqueeze(0));
    return dropout_->forward(norm_->forward(sum));
  }

  torch::nn::Embedding word;

 private:
  torch::nn::Embedding position_;
  torch::nn::Embedding token_type_;
  torch::nn::LayerNorm norm_;
  torch::nn::Dropout dropout_;
};

class SelfAttention final : public torch::nn::Module {
 public:
  explicit SelfAttention(const BertSizes& sizes)
      : heads_(sizes.heads),
        query_(register_module("query", torch::nn::Linear(sizes.width, sizes.width))),
        key_(register_module("key", torch::nn::Linear(sizes.width, sizes.width))),
        value_(register_module("value", torch::nn::Linear(sizes.width, sizes.width))) {}

  at::Tensor forward(const at::Tensor& x) {
    const std::vector<std::int64_t> by_head = {x.size(0), x.size(1), heads_, x.size(2) / heads_};
    const at::Tensor query = project(query_, x).view(by_head).transpose(1, 2);
    const at::Tensor key = project(key_, x).view(by_head).transpose(1, 2);
    const at::Tensor value = project(value_, x).view(by_head).transpose(1, 2);
    const at::Tensor attended =
        at::scaled_dot_product_attention(query, key, value, /*attn_mask=*/{}, is_training() ? kDropout : 0.0);
    return attended.transpose(1, 2).reshape(x.sizes());
  }

 private:
  std::int64_t heads_;
  torch::nn::Linear query_, key_, value_;
};

// Back to the width of the residual stream, and into it.
class Output final : public torch::nn::Module {
 public:
  Output(std::int64_t in, std::int64_t out)
      : dense_(register_module("dense", torch::nn::Linear(in, out))),
        norm_(register_module("LayerNorm", layer_norm(out))),
        dropout_(register_module("dropout", torch::nn::Dropout(kDropout))) {}

  at::Tensor forward(const at::Tensor& x, const at::Tensor& residual) {
    return norm_->forward(dropout_->forward(project(dense_, x)) + residual);
  }

 private:
  torch::nn::Linear dense_;
  torch::nn::LayerNorm norm_;
  torch::nn::Dropout dropout_;
};

class Layer final : public CheckpointedBlock {
 public:
  explicit Layer(const BertSizes& sizes) {
    const auto attention = register_module("attention", std::make_shared<torch::nn::Module>());
    self_ = attention->register_module("self", std::make_shared<SelfAttention>(sizes));
    attention_output_ =
        attention->register_module("output", std::make_shared<Output>(sizes.width, sizes.width));
    const auto intermediate = register_module("intermediate", std::make_shared<torch::nn::Module>());
    dense_ = intermediate->register_module("dense", torch::nn::Linear(sizes.width, sizes.intermediate_width));
    output_ = register_module("output", std::make_shared<Output>(sizes.intermediate_width, sizes.width));
  }

 private:
  at::Tensor compute(const at::Tensor& x) override {
    const at::Tensor attended = attention_output_->forward(self_->forward(x), x);
    return output_->forward(at::gelu(project(dense_, attended)), attended);
  }

  std::shared_ptr<SelfAttention> self_;
  std::shared_ptr<Output> attention_output_;
  torch::nn::Linear dense_ = nullptr;
  std::shared_ptr<Output> output_;
};

// BertPreTrainedModel._init_weights.
void initialize(torch::nn::Module& module) {
  if (auto* linear = module.as<torch::nn::Linear>()) {
    draw_normal(linear->weight, kInitialStd);
    linear->bias.detach().zero_();
  }
  if (auto* embedding = module.as<torch::nn::Embedding>()) {
    draw_normal(embedding->weight, kInitialStd);
    if (embedding->options.padding_idx()) embedding->weight.detach()[kPadding].zero_();
  }
}

class BertEncoder final : public torch::nn::Module {
 public:
  BertEncoder(const BertSizes& sizes, std::int64_t vocabulary_size)
      : embeddings(register_module("embeddings", std::make_shared<Embeddings>(sizes, vocabulary_size))) {
    const auto encoder = register_module("encoder", std::make_shared<torch::nn::Module>());
    const auto layers = encoder->register_module("layer", std::make_shared<torch::nn::Module>());
    for (std::int64_t i = 0; i < sizes.layers; ++i)
      layers_.push_back(layers->register_module(std::to_string(i), std::make_shared<Layer>(sizes)));
    const auto pooler = register_module("pooler", std::make_shared<torch::nn::Module>());
    pooler_dense_ = pooler->register_module("dense", torch::nn::Linear(sizes.width, sizes.width));
    for_each_in_post_order(*this, initialize);
  }

  // (B, T, width).
  at::Tensor forward(const at::Tensor& tokens, const at::Tensor& segments) {
    at::Tensor x = embeddings->forward(tokens, segments);
    for (const auto& layer : layers_) x = layer->forward(x);
    return x;
  }
  // The first token's representation (B, width), for the task about both sentences.
  at::Tensor pool(const at::Tensor& x) { return at::tanh(project(pooler_dense_, x.select(1, 0))); }

  std::shared_ptr<Embeddings> embeddings;

 private:
  std::vector<std::shared_ptr<Layer>> layers_;
  torch::nn::Linear pooler_dense_ = nullptr;
};

class Heads final : public torch::nn::Module {
 public:
  Heads(const BertSizes& sizes, std::int64_t vocabulary_size) {
    const auto predictions = register_module("predictions", std::make_shared<torch::nn::Module>());
    bias_ = predictions->register_parameter("bias", at::zeros({vocabulary_size}));
    const auto transform = predictions->register_module("transform", std::make_shared<torch::nn::Module>());
    dense_ = transform->register_module("dense", torch::nn::Linear(sizes.width, sizes.width));
    norm_ = transform->register_module("LayerNorm", layer_norm(sizes.width));
    // The reference makes a decoder of its own and initialises it before it takes the word embeddings'
    // weight: drawn, so that what is drawn next is the same.
    const torch::nn::Linear decoder(torch::nn::LinearOptions(sizes.width, vocabulary_size).bias(false));
    seq_relationship_ = register_module("seq_relationship", torch::nn::Linear(sizes.width, 2));
    initialize(*dense_);
    draw_normal(decoder->weight, kInitialStd);
    initialize(*seq_relationship_);
  }

  // (B, T, width) to logits (B, T, vocabulary).
  at::Tensor predict(const at::Tensor& x, const at::Tensor& word_weight) {
    return at::linear(norm_->forward(at::gelu(project(dense_, x))), word_weight, bias_);
  }
  // (B, width) to logits (B, 2).
  at::Tensor relate(const at::Tensor& pooled) { return project(seq_relationship_, pooled); }

 private:
  at::Tensor bias_;
  torch::nn::Linear dense_ = nullptr;
  torch::nn::LayerNorm norm_ = nullptr;
  torch::nn::Linear seq_relationship_ = nullptr;
};

class Bert final : public Model {
 public:
  Bert(const BertSizes& sizes, std::int64_t vocabulary_size, std::string adaptation)
      : vocabulary_size_(vocabulary_size),
        bert_(register_module("bert", std::make_shared<BertEncoder>(sizes, vocabulary_size))),
        cls_(register_module("cls", std::make_shared<Heads>(sizes, vocabulary_size))),
        adaptation_(std::move(adaptation)) {}

  // `data` (B, 2, T) int64, tokens and segments. Returns both heads' logits one after the other, (B T
  // vocabulary
  // + 2 B), because a model has one output: flat, so that each is contiguous, and its gradient too.
  at::Tensor forward(at::Tensor data) override {
    const at::Tensor x = bert_->forward(data.select(1, 0), data.select(1, 1));
    const at::Tensor pooled = bert_->pool(x);
    const at::Tensor words = cls_->predict(x, bert_->embeddings->word->weight);
    const at::Tensor relation = cls_->relate(pooled);
    return at::cat({words.view(-1), relation.view(-1)});
  }

  // The masked tokens' mean cross entropy plus that of the relation; `target` (B, T + 1), as
  // MaskedTokenDataset gives it.
  at::Tensor loss(const at::Tensor& output, const at::Tensor& target) const override {
    const Answers answers = split(output, target);
    const at::Tensor words = Model::loss(answers.words, answers.tokens);
    return words + Model::loss(answers.relation, answers.is_elsewhere);
  }
  at::Tensor score(const at::Tensor& output, const at::Tensor& target) const override {
    const Answers answers = split(output, target);
    return at::cat(
        {Model::score(answers.words, answers.tokens), Model::score(answers.relation, answers.is_elsewhere)});
  }
  std::int64_t num_heads() const override { return 2; }
  std::string adaptation() const override { return adaptation_; }

 private:
  struct Answers {
    at::Tensor words;         // (B T, vocabulary)
    at::Tensor relation;      // (B, 2)
    at::Tensor tokens;        // (B T)
    at::Tensor is_elsewhere;  // (B)
  };
  Answers split(const at::Tensor& output, const at::Tensor& target) const {
    const std::int64_t batch = target.size(0), length = target.size(1) - 1;
    const std::int64_t words = batch * length * vocabulary_size_;
    return {.words = output.narrow(0, 0, words).view({-1, vocabulary_size_}),
            .relation = output.narrow(0, words, 2 * batch).view({batch, 2}),
            .tokens = target.narrow(1, 0, length).reshape(-1),
            .is_elsewhere = target.select(1, length).contiguous()};
  }

  std::int64_t vocabulary_size_;
  std::shared_ptr<BertEncoder> bert_;
  std::shared_ptr<Heads> cls_;
  std::string adaptation_;
};

std::shared_ptr<Model> make_bert(const char* name, const BertSizes& sizes, const DatasetShape& shape) {
  const TokenSizes tokens = token_sizes(shape, name, TokenTask::kMaskedToken, sizes.positions);
  return std::make_shared<Bert>(
      sizes, tokens.vocabulary_size,
      "bert.embeddings takes " + count_of(tokens.vocabulary_size, "token", "tokens") + ", sequences have " +
          std::to_string(tokens.sequence_length) + " of at most " + std::to_string(sizes.positions));
}

}  // namespace

std::shared_ptr<Model> make_bert_base(const DatasetShape& shape) {
  return make_bert("bert-base",
                   {.layers = 12, .heads = 12, .width = 768, .intermediate_width = 3072, .positions = 512},
                   shape);
}

std::shared_ptr<Model> make_bert_mini(const DatasetShape& shape) {
  return make_bert("bert-mini",
                   {.layers = 4, .heads = 4, .width = 256, .intermediate_width = 1024, .positions = 512},
                   shape);
}

}  // namespace lockstep

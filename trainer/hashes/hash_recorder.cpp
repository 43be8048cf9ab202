#include "trainer/hashes/hash_recorder.h"

#include <ATen/ops/empty.h>

#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "trainer/checkpoint/sha256.h"
#include "trainer/cost/append_only_file.h"

namespace lockstep {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::int64_t kDigits = 64;

void add(Sha256& hash, const at::Tensor& tensor) {
  const at::Tensor bytes = tensor.detach().cpu().contiguous();
  hash.update(bytes.const_data_ptr(), bytes.nbytes());
}

std::string hash_of(const at::Tensor& tensor) {
  Sha256 hash;
  if (tensor.defined()) add(hash, tensor);
  return hash.hex_digest();
}

// Of one logical rank: its inputs, then each parameter's gradients, over the batches of a step.
struct RankHashes {
  explicit RankHashes(std::size_t parameters) : gradients(parameters) {}
  Sha256 inputs;
  std::vector<Sha256> gradients;
};

}  // namespace

struct HashRecorder::State {
  NamedTensors parameters;
  CommunicatorPtr communicator;
  std::optional<AppendOnlyFile> file;  // rank 0
  int ranks_here = 1;
  std::vector<std::unique_ptr<RankHashes>> ranks;
  int rank = 0;
  std::vector<std::string> reduced;
  std::vector<std::pair<at::Tensor, unsigned>> hooks;

  // Of all logical ranks, in their order: inputs, then one for each parameter.
  std::vector<std::string> gather() {
    const auto hashes_per_rank = static_cast<std::int64_t>(parameters.size()) + 1;
    const auto bytes = at::TensorOptions().dtype(at::kByte);
    const at::Tensor mine = at::empty({ranks_here * hashes_per_rank * kDigits}, bytes);
    const at::Tensor all = at::empty({communicator->world_size() * mine.numel()}, bytes);
    auto* at = static_cast<char*>(mine.mutable_data_ptr());
    const auto put = [&](Sha256& hash) {
      std::memcpy(at, hash.hex_digest().data(), kDigits);
      at += kDigits;
    };
    for (const auto& hashes : ranks) {
      put(hashes->inputs);
      for (Sha256& gradient : hashes->gradients) put(gradient);
    }
    communicator->all_gather(all, mine)->wait();
    std::vector<std::string> texts;
    const auto* text = static_cast<const char*>(all.const_data_ptr());
    for (std::int64_t i = 0; i < all.numel(); i += kDigits) texts.emplace_back(text + i, kDigits);
    return texts;
  }
};

HashRecorder::HashRecorder(const NamedTensors& parameters, CommunicatorPtr communicator,
                           std::filesystem::path file, int ranks_here)
    : state_(std::make_shared<State>()) {
  state_->parameters = parameters;
  state_->communicator = std::move(communicator);
  state_->ranks_here = ranks_here;
  if (state_->communicator->rank() == 0) state_->file.emplace(std::move(file));
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const at::Tensor& parameter = parameters[i].second;
    const std::weak_ptr<State> state = state_;
    state_->hooks.emplace_back(parameter, parameter.register_hook([state, i](const at::Tensor& gradient) {
      const auto alive = state.lock();
      if (!alive || alive->ranks.empty()) return;
      add(alive->ranks[static_cast<std::size_t>(alive->rank)]->gradients[i], gradient);
    }));
  }
}

HashRecorder::~HashRecorder() {
  for (const auto& [parameter, hook] : state_->hooks) parameter.remove_hook(hook);
}

void HashRecorder::begin_step() {
  state_->ranks.clear();
  for (int rank = 0; rank < state_->ranks_here; ++rank)
    state_->ranks.push_back(std::make_unique<RankHashes>(state_->parameters.size()));
  state_->rank = 0;
}

void HashRecorder::begin_rank(int index) {
  state_->rank = index;
}

void HashRecorder::inputs(const at::Tensor& data, const at::Tensor& target) {
  Sha256& hash = state_->ranks[static_cast<std::size_t>(state_->rank)]->inputs;
  add(hash, data);
  add(hash, target);
}

void HashRecorder::reduced() {
  state_->reduced.clear();
  if (!state_->file) return;  // the averages are the same on all ranks
  for (const auto& [name, parameter] : state_->parameters)
    state_->reduced.push_back(hash_of(parameter.grad()));
}

void HashRecorder::end_step(std::int64_t step, const NamedTensors& state) {
  const std::vector<std::string> hashes = state_->gather();
  if (!state_->file) return;
  const std::size_t hashes_per_rank = state_->parameters.size() + 1;
  const std::size_t ranks = hashes.size() / hashes_per_rank;
  Json line = {{"step", step},
               {"inputs", Json::array()},
               {"gradients", Json::object()},
               {"reduced", Json::object()},
               {"weights", Json::object()}};
  for (std::size_t rank = 0; rank < ranks; ++rank) line["inputs"].push_back(hashes[rank * hashes_per_rank]);
  for (std::size_t i = 0; i < state_->parameters.size(); ++i) {
    const std::string& name = state_->parameters[i].first;
    Json gradients = Json::array();
    for (std::size_t rank = 0; rank < ranks; ++rank)
      gradients.push_back(hashes[rank * hashes_per_rank + 1 + i]);
    line["gradients"][name] = gradients;
    line["reduced"][name] = state_->reduced.at(i);
  }
  for (const auto& [name, tensor] : state) line["weights"][name] = hash_of(tensor);
  state_->file->append(line.dump());
}

}  // namespace lockstep

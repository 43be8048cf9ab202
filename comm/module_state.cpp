#include "comm/module_state.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <torch/nn/module.h>

#include <map>
#include <sstream>

#include "comm/agreement.h"
#include "comm/errors.h"

namespace lockstep {
namespace {

// One broadcast carries at most about this much, so that packing needs little memory besides the model.
constexpr std::int64_t kPackBytes = 250 << 20;

void broadcast_packed(const std::vector<at::Tensor>& tensors, Communicator& communicator, int root) {
  std::vector<at::Tensor> flat;
  for (const at::Tensor& tensor : tensors) flat.push_back(tensor.reshape({-1}));
  const at::Tensor packed = at::cat(flat);
  communicator.broadcast(packed.view(at::kByte), root)->wait();  // bytes, whatever the dtype
  std::int64_t offset = 0;
  for (const at::Tensor& tensor : tensors) {
    tensor.copy_(packed.narrow(0, offset, tensor.numel()).view(tensor.sizes()));
    offset += tensor.numel();
  }
}

void add_shape(const std::string& name, const at::Tensor& tensor, KeyValues& shapes) {
  std::ostringstream text;
  text << c10::toString(tensor.scalar_type()) << tensor.sizes()
       << (tensor.requires_grad() ? "" : " (frozen)");
  shapes.emplace_back(name, text.str());
}

}  // namespace

std::vector<std::pair<std::string, at::Tensor>> module_parameters(const torch::nn::Module& module) {
  std::vector<std::pair<std::string, at::Tensor>> parameters;
  for (const auto& item : module.named_parameters()) parameters.emplace_back(item.key(), item.value());
  return parameters;
}

std::vector<at::Tensor> module_buffers(const torch::nn::Module& module) {
  return module.buffers();
}

void broadcast_tensors(const std::vector<at::Tensor>& tensors, Communicator& communicator, int root) {
  const at::NoGradGuard no_grad;
  if (communicator.world_size() == 1) return;
  std::map<std::pair<std::string, at::ScalarType>, std::vector<at::Tensor>> packs;
  std::map<std::pair<std::string, at::ScalarType>, std::int64_t> bytes;
  for (const at::Tensor& tensor : tensors) {
    const auto kind = std::make_pair(tensor.device().str(), tensor.scalar_type());
    packs[kind].push_back(tensor.detach());
    bytes[kind] += static_cast<std::int64_t>(tensor.nbytes());
    if (bytes[kind] >= kPackBytes) {
      broadcast_packed(packs[kind], communicator, root);
      packs[kind].clear();
      bytes[kind] = 0;
    }
  }
  for (const auto& [kind, pack] : packs) {
    if (!pack.empty()) broadcast_packed(pack, communicator, root);
  }
}

void broadcast_module_state(torch::nn::Module& module, Communicator& communicator) {
  KeyValues shapes;
  std::vector<at::Tensor> tensors;
  for (const auto& item : module.named_parameters()) {
    add_shape("parameter " + item.key(), item.value(), shapes);
    tensors.push_back(item.value());
  }
  for (const auto& item : module.named_buffers()) {
    add_shape("buffer " + item.key(), item.value(), shapes);
    tensors.push_back(item.value());
  }
  const std::string difference = find_disagreement(shapes, communicator);
  if (!difference.empty()) throw CommError("the ranks' models differ: " + difference);
  broadcast_tensors(tensors, communicator);
}

}  // namespace lockstep

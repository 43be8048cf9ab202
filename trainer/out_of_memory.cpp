#include "trainer/out_of_memory.h"

#include <c10/util/Exception.h>

#include <cstdio>
#include <new>

#include "trainer/metrics/number_format.h"

namespace lockstep {
namespace {

// How LibTorch's CPU allocator words it, in an ordinary c10::Error.
constexpr const char* kCpuAllocator = "DefaultCPUAllocator: ";
constexpr const char* kSizeFollows = "ried to allocate ";

std::string held_text(const HeldBytes& held) {
  std::string text =
      "weights of " + format_bytes(held.weights) + ", gradients of " + format_bytes(held.gradients);
  return text + (held.optimizer ? " and optimizer state of " + format_bytes(*held.optimizer)
                                : " and its share of the optimizer state");
}

}  // namespace

bool is_out_of_memory(const std::exception& error) {
  if (dynamic_cast<const std::bad_alloc*>(&error) != nullptr) return true;
  if (dynamic_cast<const c10::OutOfMemoryError*>(&error) != nullptr) return true;
  return dynamic_cast<const c10::Error*>(&error) != nullptr &&
         std::string(error.what()).find(kCpuAllocator) != std::string::npos;
}

std::string size_asked_for(const std::exception& error) {
  const std::string text = error.what();
  const std::size_t found = text.find(kSizeFollows);
  if (found == std::string::npos) return "";
  const std::size_t begin = found + std::string(kSizeFollows).size();
  const std::size_t unit = text.find(' ', begin);
  if (unit == std::string::npos) return "";
  const std::size_t end = text.find_first_of(" .\n", unit + 1);
  const std::string size = text.substr(begin, end - begin);
  if (!size.ends_with(" bytes")) return size;
  double bytes = 0.0;
  return std::sscanf(size.c_str(), "%lf", &bytes) == 1 ? format_bytes(bytes) : "";
}

std::string out_of_memory_advice(const TrainConfig& config, const MemoryFacts& facts) {
  std::string text = "out of memory in " + facts.where + " on " + facts.device;
  if (!facts.asked_for.empty()) text += ", where " + facts.asked_for + " more was asked for";
  text += ": beside " + held_text(facts.held) + " there is no room for the activations of --batch-size " +
          std::to_string(config.batch_size) + "; ";
  if (facts.has_blocks && !config.activation_checkpointing)
    text += "add --activation-checkpointing, with which the run goes on from its checkpoint, or ";
  if (config.batch_size > 1) {
    text += "start over (--fresh) with --batch-size " + std::to_string(config.batch_size / 2) +
            " and --accumulate-grad-batches " + std::to_string(2 * config.accumulate_grad_batches) +
            ", as many samples a step in half the memory for activations";
  } else if (facts.has_tokens) {
    text += "start over (--fresh) with a shorter --sequence-length";
  } else {
    text += "take a smaller --model or a device with more memory";
  }
  if (facts.ranks > 1 && config.shard_optimizer == "off") text += "; --shard-optimizer on saves memory, too";
  return text + "; lockstep estimate, with the same options, tells which batch fits";
}

double total_bytes(const std::vector<at::Tensor>& tensors) {
  double bytes = 0.0;
  for (const at::Tensor& tensor : tensors) bytes += static_cast<double>(tensor.nbytes());
  return bytes;
}

}  // namespace lockstep

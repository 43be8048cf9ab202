#include "trainer/out_of_memory.h"

#include <c10/util/Exception.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <new>

#include "sampler/ceil_div.h"
#include "trainer/metrics/number_format.h"

namespace lockstep {
namespace {

// How LibTorch's CPU allocator words it, in an ordinary c10::Error.
constexpr const char* kCpuAllocator = "DefaultCPUAllocator: ";
constexpr const char* kSizeFollows = "ried to allocate ";

// What activations came to: in the step that failed, as far as it got, or in one before that got further.
double needed_for_activations(const MemoryShortage& shortage) {
  const FailedAllocation& at = shortage.at;
  const double before = shortage.whole_forward ? at.peak_allocated : 0.0;
  return std::max(at.allocated + at.asked_for, before) - shortage.kept;
}

std::string held_text(const MemoryFacts& facts) {
  const HeldBytes& held = facts.held;
  const double to_come = facts.shortage ? facts.shortage->optimizer_to_come : 0.0;
  std::string text =
      "weights of " + format_bytes(held.weights) + ", gradients of " + format_bytes(held.gradients);
  text += held.optimizer ? " and optimizer state of " + format_bytes(*held.optimizer + to_come)
                         : " and its share of the optimizer state";
  return to_come > 0.0 ? text + " (of which " + format_bytes(to_come) + " is yet to come)" : text;
}

std::string activations_text(const TrainConfig& config, const MemoryFacts& facts) {
  const std::string of_batch = "the activations of --batch-size " + std::to_string(config.batch_size);
  if (!facts.shortage) return "there is no room for " + of_batch;
  const FailedAllocation& at = facts.shortage->at;
  const double others = at.device_total - at.device_free - at.reserved;
  return of_batch + " had taken " + format_bytes(std::max(0.0, at.allocated - facts.shortage->kept)) +
         "; of the device's " + format_bytes(at.device_total) + ", " + format_bytes(at.device_free) +
         " was free, " + format_bytes(at.reserved - at.allocated) +
         " lay unused between tensors, and CUDA, NCCL and other programs had " +
         format_bytes(std::max(0.0, others));
}

// The largest batch to propose; 0: none.
std::int64_t smaller_batch(const TrainConfig& config, const MemoryFacts& facts) {
  const bool is_measured = facts.shortage && !is_fragmented(*facts.shortage);
  return is_measured ? batch_that_fits(config.batch_size, *facts.shortage) : config.batch_size / 2;
}

std::string smaller_batch_text(const TrainConfig& config, const MemoryFacts& facts) {
  const StepSamples now{config.batch_size, config.accumulate_grad_batches};
  const StepSamples proposed = split_step(now.samples(), smaller_batch(config, facts));
  std::string text = "start over (--fresh) with --batch-size " + std::to_string(proposed.batch_size) +
                     " and --accumulate-grad-batches " + std::to_string(proposed.accumulate_grad_batches) +
                     ", ";
  text += proposed.samples() == now.samples()
              ? "as many samples a step"
              : std::to_string(proposed.samples()) + " samples a step instead of " +
                    std::to_string(now.samples());
  if (!facts.shortage) return text + " in half the memory for activations";
  const double share = static_cast<double>(proposed.batch_size) / static_cast<double>(config.batch_size);
  return text + ", whose activations take " + (facts.shortage->whole_forward ? "about " : "at least ") +
         format_bytes(share * needed_for_activations(*facts.shortage)) + " of the " +
         format_bytes(room_for_activations(*facts.shortage)) + " that there are for them";
}

// Where the rest leaves no room for activations, nothing that lowers these is of use.
std::string remedies(const TrainConfig& config, const MemoryFacts& facts) {
  const std::string larger_device = "take a smaller --model or a device with more memory";
  if (facts.shortage && room_for_activations(*facts.shortage) <= 0.0)
    return "that leaves no room for activations: " + larger_device;
  std::string text;
  if (facts.shortage && is_fragmented(*facts.shortage) && !config.expandable_segments)
    text =
        "the memory is there, but not in one piece: add --expandable-segments, with which the run goes on "
        "from its checkpoint, or ";
  if (facts.has_blocks && !config.activation_checkpointing)
    text += "add --activation-checkpointing, with which the run goes on from its checkpoint, or ";
  if (smaller_batch(config, facts) > 0) return text + smaller_batch_text(config, facts);
  if (facts.shortage && config.batch_size > 1) text += "since not even one sample fits, ";
  return text + (facts.has_tokens ? "start over (--fresh) with a shorter --sequence-length" : larger_device);
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

double optimizer_bytes(const TrainConfig& config, double parameter_bytes) {
  if (config.optimizer != "sgd") return 2.0 * parameter_bytes;  // exp_avg, exp_avg_sq
  return config.momentum > 0.0 ? parameter_bytes : 0.0;
}

double room_for_activations(const MemoryShortage& shortage) {
  return shortage.at.reserved + shortage.at.device_free - shortage.kept - shortage.optimizer_to_come;
}

bool is_fragmented(const MemoryShortage& shortage) {
  const FailedAllocation& at = shortage.at;
  return at.asked_for <= at.reserved - at.allocated + at.device_free;
}

std::int64_t batch_that_fits(std::int64_t batch_size, const MemoryShortage& shortage) {
  const double needed = needed_for_activations(shortage);
  const double room = room_for_activations(shortage);
  if (room <= 0.0 || needed <= 0.0) return 0;
  // A forward pass that did not come to its end has not shown all that it takes.
  const std::int64_t most = shortage.whole_forward ? batch_size - 1 : batch_size / 2;
  const double fits = std::floor(static_cast<double>(batch_size) * room / needed);
  return static_cast<std::int64_t>(std::min(fits, static_cast<double>(most)));
}

StepSamples split_step(std::int64_t samples, std::int64_t largest_batch) {
  const std::int64_t fewest = ceil_div(samples, largest_batch);
  for (std::int64_t batches = fewest; batches <= 2 * fewest; ++batches)
    if (samples % batches == 0) return {samples / batches, batches};
  return {(samples + fewest / 2) / fewest, fewest};
}

std::string out_of_memory_advice(const TrainConfig& config, const MemoryFacts& facts) {
  std::string text = "out of memory in " + facts.where + " on " + facts.device;
  if (!facts.asked_for.empty()) text += ", where " + facts.asked_for + " more was asked for";
  text +=
      ": beside " + held_text(facts) + " " + activations_text(config, facts) + "; " + remedies(config, facts);
  if (facts.ranks > 1 && config.shard_optimizer == "off") text += "; --shard-optimizer on saves memory, too";
  return text + "; lockstep estimate, with the same options, tells which batch fits";
}

double total_bytes(const std::vector<at::Tensor>& tensors) {
  double bytes = 0.0;
  for (const at::Tensor& tensor : tensors) bytes += static_cast<double>(tensor.nbytes());
  return bytes;
}

}  // namespace lockstep

#include "trainer/estimate/estimate_report.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "trainer/metrics/number_format.h"

namespace lockstep {
namespace {

using Json = nlohmann::ordered_json;

std::string fixed(double value, int digits) {
  char text[400];  // the largest double has 309 digits before the point
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

std::string padded(const std::string& text, std::size_t columns, bool right) {
  const std::string blanks(columns > text.size() ? columns - text.size() : 0, ' ');
  return right ? blanks + text : text + blanks;
}

struct Part {
  const char* name;
  double bytes;
  std::string remark;
};

std::vector<Part> parts_of(const EstimateFacts& facts, const StepMemory& memory, const PlannedRun& run) {
  const std::string each = format_bytes(memory.activations.per_sample) + " a sample, and " +
                           format_bytes(memory.activations.fixed);
  return {{"weights", memory.weights, ""},
          {"gradients", memory.gradients, "the communication buckets hold them"},
          {"optimizer", memory.optimizer, facts.optimizer},
          {"communication", memory.communication, "beyond the gradients"},
          {"activations", memory.activations.at(run.batch_size),
           "at batch " + format_count(run.batch_size) + ": " + each +
               (facts.activation_checkpointing ? "; those of blocks are computed again" : "")}};
}

// Rank 0's, which copies what it saves, to where activations were in a step.
double cpu_peak(const EstimateFacts& facts, const StepMemory& memory, const PlannedRun& run) {
  StepMemory shared = memory;
  shared.optimizer /= static_cast<double>(facts.optimizer_ranks);
  shared.activations.per_sample += facts.host_kernels_per_sample;
  shared.evaluation.per_sample += facts.host_kernels_per_evaluated_sample;
  return std::max(shared.peak(facts.host_overhead_bytes, run.batch_size, run.eval_batch_size),
                  facts.host_overhead_bytes + shared.fixed() + memory.checkpoint_copy());
}

std::string hours_text(const std::optional<double>& hours) {
  if (!hours) return "-";
  return fixed(*hours, *hours < 10.0 ? 2 : 1);
}

}  // namespace

std::string estimate_text(const EstimateFacts& facts, const StepMemory& memory, const PlannedRun& run,
                          const std::vector<EstimatedOffer>& offers) {
  std::string text = facts.model + ", " + format_count(facts.num_parameters) + " parameters, " + facts.data;
  if (facts.sequence_length > 0) text += ", sequences of " + format_count(facts.sequence_length) + " tokens";
  text += "; " + facts.optimizer + ", " + facts.precision + "\n\nMemory of one rank\n";
  for (const Part& part : parts_of(facts, memory, run)) {
    text += "  " + padded(part.name, 15, false) + padded(format_bytes(part.bytes), 11, true) +
            (part.remark.empty() ? "" : "   " + part.remark) + "\n";
  }
  const double evaluation = memory.evaluation.at(run.eval_batch_size);
  if (evaluation > memory.activations.at(run.batch_size)) {
    text += "  " + padded("evaluation", 15, false) + padded(format_bytes(evaluation), 11, true) +
            "   in the activations' place, at batch " + format_count(run.eval_batch_size) + "\n";
  }
  text +=
      "  " + padded("on a GPU", 15, false) +
      padded(format_bytes(memory.peak(kGpuOverheadBytes, run.batch_size, run.eval_batch_size)), 11, true) +
      "   with " + format_bytes(kGpuOverheadBytes) + " for CUDA and its libraries (assumed)\n";
  text +=
      "  " + padded("on this CPU", 15, false) + padded(format_bytes(cpu_peak(facts, memory, run)), 11, true) +
      "   resident, with " + format_bytes(facts.host_overhead_bytes) +
      " for the program, LibTorch and the data" +
      (facts.host_kernels_per_sample > 0.0
           ? ", and " + format_bytes(facts.host_kernels_per_sample) + " a sample for its kernels"
           : "") +
      " (measured); a checkpoint's copy, " + format_bytes(memory.checkpoint_copy()) +
      ", takes the activations' place" +
      (facts.optimizer_ranks > 1 ? "; " + std::to_string(facts.optimizer_ranks) + " ranks share the optimizer"
                                 : "") +
      "\n\n";
  std::size_t widest = 3;
  for (const EstimatedOffer& row : offers) widest = std::max(widest, row.offer.gpu.size());
  text += padded("GPU", widest, false) + "   memory   batch " +
          padded(format_count(run.batch_size), 6, false) + "  largest batch      hours            cost\n";
  for (const EstimatedOffer& row : offers) {
    std::string marks;
    if (row.cheapest) marks += "  cheapest";
    if (row.fastest) marks += "  fastest";
    if (!row.remark.empty()) marks += "  " + row.remark;
    const bool sized = row.offer.memory_gib > 0.0;
    text += padded(row.offer.gpu, widest, false) +
            padded(sized ? fixed(row.offer.memory_gib, 0) + " GiB" : "-", 9, true) + "   " +
            padded(!sized     ? "-"
                   : row.fits ? "fits"
                              : "too large",
                   12, false) +
            padded(sized ? format_count(row.largest_batch) : "-", 15, true) +
            padded(hours_text(row.hours), 11, true) +
            padded(row.cost ? format_money(*row.cost, row.offer.price->currency) : "-", 16, true) + marks +
            "\n";
  }
  text += "\nPrices per GPU-hour\n";
  for (const EstimatedOffer& row : offers) {
    if (!row.offer.price) continue;
    text += "  " + padded(row.offer.gpu, widest, false) + "  " +
            format_money(row.offer.price->per_gpu_hour, row.offer.price->currency) +
            (row.offer.where.empty() ? "" : ", " + row.offer.where) + "\n";
  }
  text +=
      "\nHours and cost: " + format_count(run.total_samples) + " samples on " + format_count(run.ranks) +
      (run.ranks == 1 ? " GPU" : " GPUs") + ", " + fixed(run.flops_per_sample / 1e9, 3) + " GFLOP each, at " +
      fixed(100.0 * run.efficiency, 0) +
      " % of the GPU's peak (--efficiency, assumed); start-up, evaluation and\n"
      "checkpoints come on top. Activations are those of the CPU's kernels; a GPU's may need less or more.\n";
  return text;
}

std::string estimate_json(const EstimateFacts& facts, const StepMemory& memory, const PlannedRun& run,
                          const std::vector<EstimatedOffer>& offers) {
  Json json = {{"model", facts.model},
               {"num_parameters", facts.num_parameters},
               {"data", facts.data},
               {"optimizer", facts.optimizer},
               {"precision", facts.precision},
               {"activation_checkpointing", facts.activation_checkpointing},
               {"sequence_length", facts.sequence_length},
               {"batch_size", run.batch_size},
               {"ranks", run.ranks},
               {"total_samples", run.total_samples},
               {"flops_per_sample", run.flops_per_sample},
               {"efficiency", run.efficiency}};
  json["memory_bytes"] = {{"weights", memory.weights},
                          {"gradients", memory.gradients},
                          {"optimizer", memory.optimizer},
                          {"communication", memory.communication},
                          {"activations", memory.activations.at(run.batch_size)},
                          {"activations_per_sample", memory.activations.per_sample},
                          {"activations_fixed", memory.activations.fixed},
                          {"evaluation", memory.evaluation.at(run.eval_batch_size)},
                          {"gpu_overhead", kGpuOverheadBytes},
                          {"on_gpu", memory.peak(kGpuOverheadBytes, run.batch_size, run.eval_batch_size)},
                          {"host_overhead", facts.host_overhead_bytes},
                          {"host_kernels_per_sample", facts.host_kernels_per_sample},
                          {"host_kernels_per_evaluated_sample", facts.host_kernels_per_evaluated_sample},
                          {"checkpoint_copy", memory.checkpoint_copy()},
                          {"on_this_cpu", cpu_peak(facts, memory, run)}};
  json["offers"] = Json::array();
  for (const EstimatedOffer& row : offers) {
    Json offer = {{"gpu", row.offer.gpu},
                  {"where", row.offer.where},
                  {"memory_gib", row.offer.memory_gib},
                  {"fits", row.fits},
                  {"largest_batch", row.largest_batch}};
    offer["hours"] = row.hours ? Json(*row.hours) : Json(nullptr);
    offer["cost"] = row.cost ? Json(*row.cost) : Json(nullptr);
    offer["price_per_gpu_hour"] = row.offer.price ? Json(row.offer.price->per_gpu_hour) : Json(nullptr);
    offer["currency"] = row.offer.price ? Json(row.offer.price->currency) : Json(nullptr);
    offer["cheapest"] = row.cheapest;
    offer["fastest"] = row.fastest;
    offer["remark"] = row.remark;
    json["offers"].push_back(std::move(offer));
  }
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace lockstep

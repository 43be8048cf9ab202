#include "trainer/estimate/offers.h"

#include <map>

#include "trainer/estimate/gpu_specs.h"

namespace lockstep {
namespace {

constexpr double kGib = 1 << 30;

EstimatedOffer estimate(const Offer& offer, const StepMemory& memory, const PlannedRun& run) {
  EstimatedOffer row;
  row.offer = offer;
  const double capacity = offer.memory_gib * kGib;
  if (capacity > 0.0) {
    row.largest_batch = largest_batch(memory, kGpuOverheadBytes, capacity);
    row.fits = memory.peak(kGpuOverheadBytes, run.batch_size, run.eval_batch_size) <= capacity;
  } else {
    row.remark = "memory not known";
  }
  const auto spec = find_gpu_spec(offer.gpu);
  if (!spec) {
    row.remark = "speed not known";
    return row;
  }
  double tflops = spec->fp32_tflops;
  if (run.arithmetic == Arithmetic::kFloat16) tflops = spec->fp16_tflops;
  if (run.arithmetic == Arithmetic::kBfloat16) {
    if (spec->bf16_tflops > 0.0) {
      tflops = spec->bf16_tflops;
    } else {
      row.remark = "no bfloat16: at the speed of float32";
    }
  }
  if (!row.fits) return row;
  const double flops_per_s = tflops * 1e12 * run.efficiency;
  row.hours = static_cast<double>(run.total_samples) * run.flops_per_sample /
              (flops_per_s * static_cast<double>(run.ranks)) / 3600.0;
  if (offer.price && offer.price->is_known())
    row.cost = offer.price->per_gpu_hour * *row.hours * static_cast<double>(run.ranks);
  return row;
}

}  // namespace

std::vector<EstimatedOffer> estimate_offers(const std::vector<Offer>& offers, const StepMemory& memory,
                                            const PlannedRun& run) {
  std::vector<EstimatedOffer> rows;
  for (const Offer& offer : offers) rows.push_back(estimate(offer, memory, run));
  std::optional<double> least_hours;
  std::map<std::string, double> least_cost;  // amounts in different currencies are not compared
  for (const EstimatedOffer& row : rows) {
    if (row.hours && (!least_hours || *row.hours < *least_hours)) least_hours = row.hours;
    if (!row.cost) continue;
    const auto [found, is_first] = least_cost.emplace(row.offer.price->currency, *row.cost);
    if (!is_first && *row.cost < found->second) found->second = *row.cost;
  }
  for (EstimatedOffer& row : rows) {
    row.fastest = row.hours && *row.hours == *least_hours;
    row.cheapest = row.cost && *row.cost == least_cost.at(row.offer.price->currency);
  }
  return rows;
}

}  // namespace lockstep

// Two ranks and four over a wire of 8 Gb/s without latency, made up so that everything can be reckoned by
// hand.
#pragma once

#include "bench/scaling/study.h"

namespace lockstep {

// A ring of n ranks takes 2(n-1)/n ns a byte.
inline LinkMeasurement small_link(int ranks) {
  LinkMeasurement link{"8gbit", ranks, "tcp"};
  const double s_per_byte = 2.0 * (ranks - 1) / ranks * 1e-9;
  for (const std::int64_t bytes : {1'000'000, 4'000'000}) {
    const double time_s = static_cast<double>(bytes) * s_per_byte;
    link.times.push_back({"lockstep", bytes, {time_s, time_s, time_s}, 1.0});
    link.times.push_back({"tcp", bytes, {time_s, time_s, time_s}, 1.0});
  }
  link.sent_bytes = {{"lo", 0}, {"wire0", 1'010'000}};
  link.ring_bytes = 1e6;
  link.command = "lockstep bench all-reduce --wire 8gbit --nnodes " + std::to_string(ranks);
  return link;
}

inline StepMeasurement small_step(int ranks, double replayed_s, double computed_s, double pytorch_s) {
  StepMeasurement step{"8gbit", ranks, "mlp-512", 64};
  const StepTimeline timeline{
      2e-3, 6e-3, replayed_s - 10e-3, 2e-3, {{1'000'000, 6e-3, 6e-3, replayed_s - 4e-3}}};
  step.contenders = {{"averaged", {computed_s, computed_s, computed_s}, timeline},
                     {"replayed", {replayed_s, replayed_s, replayed_s}, timeline},
                     {"pytorch ddp", {pytorch_s, pytorch_s, pytorch_s}}};
  step.command = "lockstep bench step --wire 8gbit --nnodes " + std::to_string(ranks);
  return step;
}

inline Study small_study() {
  Study study;
  study.machine.cpu = "Toy <CPU>";
  study.machine.cores = 2;
  study.machine.kernel = "Linux";
  study.links = {small_link(2), small_link(4)};
  StepMeasurement alone{"", 1, "mlp-512", 64};
  alone.contenders = {{"averaged", {10e-3, 10e-3, 10e-3}}, {"pytorch ddp", {12e-3, 12e-3, 12e-3}}};
  study.steps = {alone, small_step(2, 11e-3, 12.5e-3, 16e-3), small_step(4, 12e-3, 20e-3, 24e-3)};
  // One gradient of 1 MB at the end of the backward pass; 10 ms in all.
  study.profiles = {{"mlp-512", 64, 2e-3, 6e-3, 2e-3, {{6e-3, 1'000'000}}}};
  study.missing = {"all-reduce over 1gbit, 2 ranks: it takes root"};
  return study;
}

}  // namespace lockstep

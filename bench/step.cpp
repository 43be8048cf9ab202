#include "bench/step.h"

#include <cstdio>
#include <memory>
#include <numeric>
#include <stdexcept>

#include "bench/config/text_values.h"
#include "bench/peak_flops.h"
#include "bench/peers/pytorch_twin.h"
#include "bench/profiled_step.h"
#include "bench/report/step_report.h"
#include "bench/result_file.h"
#include "bench/step_contender.h"
#include "bench/training_step.h"

namespace lockstep {
namespace {

bool compares_with_pytorch(const StepConfig& config) {
  for (const std::string& peer : split_list(config.compare)) {
    if (peer == kPytorch || peer == kPytorchDdpOnly || peer == kCompile) return true;
  }
  return false;
}

// In each round every contender has one turn, in an order that rotates. Returns the seconds of a step,
// contender by contender and round by round, of the slowest rank; all rounds are there, or somebody has asked
// to stop.
std::vector<std::vector<double>> take_turns(const StepConfig& config, const Workload& workload,
                                            const BenchWorld& world,
                                            const std::vector<std::unique_ptr<StepContender>>& contenders) {
  const std::size_t n = contenders.size();
  std::vector<std::vector<double>> times(n);
  for (int round = 0; round < config.warmup_rounds + config.rounds; ++round) {
    for (std::size_t turn = 0; turn < n; ++turn) {
      const std::size_t i = (turn + static_cast<std::size_t>(round)) % n;
      const auto seconds = world.slowest(contenders[i]->take_turn(config.settle_steps, workload.steps));
      if (round < config.warmup_rounds) continue;
      times[i].push_back(std::accumulate(seconds.begin(), seconds.end(), 0.0) / workload.steps);
    }
    if (world.stop_requested()) break;
  }
  return times;
}

bool is_complete(const StepConfig& config, const std::vector<std::vector<double>>& times) {
  return times.front().size() == static_cast<std::size_t>(config.rounds);
}

StepWork work_of(const StepConfig& config, const Workload& workload, const BenchWorld& world,
                 double peak_flop_per_s) {
  TrainingStep step(workload, 0, place_of(config, world));
  StepWork work;
  work.samples_per_rank = static_cast<double>(workload.batch_size);
  work.tokens_per_sample = static_cast<double>(step.tokens_per_sample);
  work.flop_per_rank = step.count_flop();
  work.peak_flop_per_s = peak_flop_per_s;
  work.peak_source = config.peak_tflops > 0 ? "--peak-tflops" : "measured, all ranks at once";
  return work;
}

}  // namespace

bool run_step_bench(const StepConfig& config, BenchWorld& world) {
  if (!config.record_profile.empty() && world.world_size() > 1) {
    throw std::invalid_argument("--record-profile: a profile is one rank's, and there are " +
                                std::to_string(world.world_size()) + "; use --nproc-per-node 1");
  }
  const ResultFile json(config.json, "--json", world.rank());
  const ResultFile profile(config.record_profile, "--record-profile", world.rank());
  const bool shows = world.rank() == 0;
  std::unique_ptr<PytorchTwin> twin;
  if (compares_with_pytorch(config)) {
    twin = std::make_unique<PytorchTwin>(config, world);
    world.facts().versions.emplace_back("PyTorch", twin->version());
  }
  if (shows) std::fputs(describe(world.facts()).c_str(), stdout);
  const double peak_flop_per_s = config.peak_tflops > 0
                                     ? config.peak_tflops * 1e12
                                     : measure_peak_flop_per_s(world, place_of(config, world));
  std::vector<StepTable> tables;
  bool complete = true;
  for (const Workload& workload : workloads_of(config)) {
    const std::string title = describe(workload);
    if (shows) std::fputs(("\n" + title + "\n").c_str(), stdout);
    std::fflush(stdout);
    const StepWork work = work_of(config, workload, world, peak_flop_per_s);
    const auto contenders = make_step_contenders(config, workload, world, twin.get());
    const auto times = take_turns(config, workload, world, contenders);
    complete = is_complete(config, times);
    if (!times.front().empty()) {
      std::vector<std::string> names;
      for (const auto& contender : contenders) names.push_back(contender->name());
      tables.push_back(make_step_table(title, workload.steps, names, times, work, world.world_size()));
      for (std::size_t i = 0; i < contenders.size(); ++i)
        tables.back().rows[i].timeline = contenders[i]->timeline();
      if (shows) std::fputs(format_table(tables.back()).c_str(), stdout);
      std::fflush(stdout);
    }
    if (!complete) break;
    if (!config.record_profile.empty()) profile.write(to_json_text(profile_step(workload)));
  }
  if (shows) std::fputs(step_legend().c_str(), stdout);
  json.write(step_json(world.facts(), tables));
  if (twin) twin->close();
  return complete;
}

}  // namespace lockstep

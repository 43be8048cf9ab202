#include "bench/report/step_report.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <utility>

namespace lockstep {
namespace {

const std::vector<double>* find_times(const std::string& contender,
                                      const std::vector<std::string>& contenders,
                                      const std::vector<std::vector<double>>& times) {
  const auto found = std::find(contenders.begin(), contenders.end(), contender);
  return found == contenders.end() ? nullptr : &times[static_cast<std::size_t>(found - contenders.begin())];
}

std::string ratio_text(const std::optional<Spread>& ratio) {
  if (!ratio) return "";
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%.3f (%.2f..%.2f)", ratio->median, ratio->min, ratio->max);
  return text.data();
}

void add_spread(nlohmann::ordered_json& json, const char* name, const std::optional<Spread>& spread,
                double unit = 1.0) {
  if (!spread) return;
  json[name] = {{"min", spread->min * unit}, {"median", spread->median * unit}, {"max", spread->max * unit}};
}

void add_throughput(nlohmann::ordered_json& json, const StepThroughput& throughput, const StepWork& work) {
  json["samples_per_s"] = throughput.samples_per_s;
  if (work.tokens_per_sample > 0) json["tokens_per_s"] = throughput.tokens_per_s;
  json["flop_per_s_of_a_rank"] = throughput.flop_per_s;
  json["peak_share"] = throughput.peak_share;
  add_spread(json, "scaling_efficiency", throughput.efficiency);
}

// The batch is in memory, so that data take no part.
std::string format_parts(const std::string& contender, const StepTimeline& timeline) {
  std::string text = "  a step of " + contender + ":";
  for (const auto& [name, seconds] :
       {std::pair("forward", timeline.forward_s), std::pair("backward", timeline.backward_s),
        std::pair("exposed communication", timeline.exposed_s),
        std::pair("optimizer", timeline.optimizer_s)}) {
    std::array<char, 96> part{};
    std::snprintf(part.data(), part.size(), "%s %s %.2f ms (%.1f %%)", text.back() == ':' ? "" : ",", name,
                  seconds * 1e3, timeline.step_s() > 0 ? seconds / timeline.step_s() * 100 : 0.0);
    text += part.data();
  }
  return text + "\n";
}

nlohmann::ordered_json to_json(const StepTimeline& timeline) {
  nlohmann::ordered_json json = {{"forward_ms", timeline.forward_s * 1e3},
                                 {"backward_ms", timeline.backward_s * 1e3},
                                 {"exposed_communication_ms", timeline.exposed_s * 1e3},
                                 {"optimizer_ms", timeline.optimizer_s * 1e3},
                                 {"buckets", nlohmann::ordered_json::array()}};
  for (const BucketSpan& bucket : timeline.buckets) {
    json["buckets"].push_back({{"bytes", bucket.bytes},
                               {"ready_ms", bucket.ready_s * 1e3},
                               {"begin_ms", bucket.begin_s * 1e3},
                               {"end_ms", bucket.end_s * 1e3}});
  }
  return json;
}

}  // namespace

StepTable make_step_table(const std::string& workload, int steps, const std::vector<std::string>& contenders,
                          const std::vector<std::vector<double>>& times, const StepWork& work,
                          int world_size) {
  StepTable table{workload, times.empty() ? 0 : static_cast<int>(times.front().size()), steps, {}, work};
  const auto* alone = find_times(kAlone, contenders, times);
  const auto* ddp = find_times(kPytorchDdp, contenders, times);
  const auto* c10d = find_times(kC10d, contenders, times);
  for (std::size_t i = 0; i < contenders.size(); ++i) {
    StepRow row;
    row.contender = contenders[i];
    row.time_s = spread_of(times[i]);
    const bool pytorch =
        row.contender == kPytorchLocal || row.contender == kPytorchDdp || row.contender == kPytorchCompiled;
    const bool is_alone = row.contender == kAlone;
    if (work.samples_per_rank > 0) {
      row.throughput = throughput_of(times[i], alone == nullptr || is_alone ? std::vector<double>() : *alone,
                                     work, is_alone ? 1 : world_size);
    }
    const auto* local = find_times(pytorch ? kPytorchLocal : kLocal, contenders, times);
    if (local != nullptr && local != &times[i] && !is_alone) row.over_local = ratio_spread(times[i], *local);
    const bool ours_with_communication = row.contender == kAveraged || row.contender == kSharded ||
                                         row.contender == kShardedWaiting || row.contender == kCaptured;
    if (ours_with_communication && ddp != nullptr) row.pytorch_over = ratio_spread(*ddp, times[i]);
    if (ours_with_communication && c10d != nullptr) row.c10d_over = ratio_spread(*c10d, times[i]);
    // Step against step without communication: whether our forward, backward and optimizer keep up.
    const auto* their_local = find_times(kPytorchLocal, contenders, times);
    if (row.contender == kLocal && their_local != nullptr)
      row.pytorch_over = ratio_spread(*their_local, times[i]);
    table.rows.push_back(std::move(row));
  }
  return table;
}

std::string format_table(const StepTable& table) {
  std::array<char, 256> line{};
  std::string text = std::to_string(table.rounds) + " rounds of " + std::to_string(table.steps) +
                     (table.steps == 1 ? " step\n" : " steps\n");
  std::snprintf(line.data(), line.size(), "  %-14s %26s   %-21s %-21s %s\n", "", "ms a step (min..max)",
                "/ its own local step", "PyTorch's / this", "c10d / this");
  text += line.data();
  for (const StepRow& row : table.rows) {
    std::array<char, 64> time{};
    std::snprintf(time.data(), time.size(), "%.2f (%.2f..%.2f)", row.time_s.median * 1e3,
                  row.time_s.min * 1e3, row.time_s.max * 1e3);
    std::snprintf(line.data(), line.size(), "  %-14s %26s   %-21s %-21s %s", row.contender.c_str(),
                  time.data(), ratio_text(row.over_local).c_str(), ratio_text(row.pytorch_over).c_str(),
                  ratio_text(row.c10d_over).c_str());
    std::string shown = line.data();
    shown.erase(shown.find_last_not_of(' ') + 1);
    text += shown + "\n";
  }
  std::vector<std::string> names;
  std::vector<StepThroughput> throughputs;
  for (const StepRow& row : table.rows) {
    if (!row.throughput) continue;
    names.push_back(row.contender);
    throughputs.push_back(*row.throughput);
  }
  if (!throughputs.empty()) text += format_throughput(table.work, names, throughputs);
  for (const StepRow& row : table.rows) {
    if (row.timeline) text += format_parts(row.contender, *row.timeline);
  }
  return text;
}

std::string step_legend() {
  return "\nRatios are of the same round: median (min..max). A local step has no communication, but all "
         "ranks do it at "
         "once\nand the slowest counts; ours includes a barrier, PyTorch's does not. PyTorch's is its DDP "
         "step, beside a "
         "local\nstep its local one. Samples and tokens are those of all ranks; efficiency is the time of a "
         "rank alone, while the "
         "others wait, over this one's.\n";
}

std::string step_json(const RunFacts& facts, const std::vector<StepTable>& tables) {
  auto json = nlohmann::ordered_json::parse(to_json_text(facts));
  json["benchmark"] = "step";
  json["workloads"] = nlohmann::ordered_json::array();
  for (const StepTable& table : tables) {
    nlohmann::ordered_json entry = {
        {"workload", table.workload}, {"rounds", table.rounds}, {"steps", table.steps}};
    if (table.work.samples_per_rank > 0) {
      entry["flop_per_step_and_rank"] = table.work.flop_per_rank;
      entry["peak_flop_per_s_of_a_rank"] = table.work.peak_flop_per_s;
      entry["peak_source"] = table.work.peak_source;
    }
    entry["contenders"] = nlohmann::ordered_json::array();
    for (const StepRow& row : table.rows) {
      nlohmann::ordered_json one = {{"contender", row.contender}};
      add_spread(one, "step_ms", row.time_s, 1e3);
      add_spread(one, "over_own_local_step", row.over_local);
      add_spread(one, row.contender == kLocal ? "pytorch_local_over_this" : "pytorch_ddp_over_this",
                 row.pytorch_over);
      add_spread(one, "c10d_over_this", row.c10d_over);
      if (row.throughput) add_throughput(one, *row.throughput, table.work);
      if (row.timeline) one["timeline"] = to_json(*row.timeline);
      entry["contenders"].push_back(std::move(one));
    }
    json["workloads"].push_back(std::move(entry));
  }
  return json.dump(2) + "\n";
}

}  // namespace lockstep

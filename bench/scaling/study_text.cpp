#include <algorithm>
#include <array>
#include <cstdio>

#include "bench/scaling/study_findings.h"

namespace lockstep {
namespace {

template <class... Values>
std::string line(const char* format, Values... values) {
  std::array<char, 320> text{};
  std::snprintf(text.data(), text.size(), format, values...);
  std::string shown = text.data();
  shown.erase(shown.find_last_not_of(' ') + 1);
  return shown + "\n";
}

std::string percent(double share) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.1f %%", share * 100.0);
  return text.data();
}

std::string milliseconds(double seconds) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.2f", seconds * 1e3);
  return text.data();
}

std::string gbit(const std::optional<double>& rate) {
  std::array<char, 32> text{};
  if (rate) std::snprintf(text.data(), text.size(), "%.3g", *rate);
  return rate ? text.data() : "-";
}

std::string links_table(const Findings& findings) {
  std::string text = "\nLinks, from our all-reduces (time = latency + size x time per byte)\n" +
                     line("  %-16s %5s %12s %14s %10s %13s  %s", "link", "ranks", "latency us", "busbw GB/s",
                          "residual", "stream Gb/s", "interfaces sent, of what rings send");
  for (const LinkFinding& link : findings.links) {
    const LinkModel hop = hop_of(link.fit.all_reduce, link.ranks);
    text += line("  %-16s %5d %12.1f %14.3f %10s %13s  %s", link.link.c_str(), link.ranks,
                 link.fit.all_reduce.latency_s * 1e6, hop.s_per_byte > 0.0 ? 1e-9 / hop.s_per_byte : 0.0,
                 percent(link.fit.worst_residual()).c_str(), gbit(link.attained_gbit_per_s).c_str(),
                 link.carrier.c_str());
  }
  return text;
}

std::string steps_table(const Findings& findings, const ScalingConfig& config) {
  std::string text = "\nSteps, ms (" + config.mode +
                     " scaling; predicted from one rank's step, the all-reduces and, for more ranks, the "
                     "step of the fewest; "
                     "replayed: compute slept)\n" +
                     line("  %-12s %-14s %5s %10s %10s %8s %10s %10s %10s", "workload", "link", "ranks",
                          "predicted", "replayed", "error", "computed", "efficiency", "PyTorch's");
  bool oversubscribed = false;
  for (const StepFinding& step : findings.steps) {
    oversubscribed = oversubscribed || step.oversubscribed;
    const std::string computed = step.computed_s ? milliseconds(step.computed_s->median) : "-";
    text += line("  %-12s %-14s %4d%s %10s %10s %8s %10s %10s %10s", step.workload.c_str(), step.link.c_str(),
                 step.ranks, step.oversubscribed ? "*" : " ", milliseconds(step.predicted_s).c_str(),
                 milliseconds(step.replayed_s).c_str(), percent(step.error).c_str(), computed.c_str(),
                 step.efficiency > 0.0 ? percent(step.efficiency).c_str() : "-",
                 step.pytorch_efficiency > 0.0 ? percent(step.pytorch_efficiency).c_str() : "-");
  }
  if (oversubscribed)
    text += "  * oversubscribed: more ranks than cores, so that what is computed waits for cores, too\n";
  return text;
}

std::string epochs_table(const Findings& findings, const ScalingConfig& config, const Price& price) {
  std::string text =
      "\nAn epoch of " + with_thousands(std::to_string(config.samples_per_epoch)) + " samples, predicted" +
      (price.is_known() ? " at " + format_money(price.per_gpu_hour, price.currency) + " per GPU-hour"
                        : "; --price-per-gpu-hour or --gpu-type would add what it costs") +
      "\n" +
      line("  %-12s %-14s %6s %-13s %10s %11s %12s %14s", "workload", "link", "ranks", "algorithm", "step ms",
           "efficiency", "hours", "cost");
  for (const EpochFinding& epoch : findings.epochs) {
    for (const EpochRow& row : epoch.rows) {
      text += line("  %-12s %-14s %6d %-13s %10s %11s %12.4g %14s", epoch.workload.c_str(),
                   epoch.link.c_str(), row.ranks, row.algorithm.c_str(), milliseconds(row.step_s).c_str(),
                   percent(row.efficiency).c_str(), row.epoch_s / 3600.0,
                   row.cost ? format_money(*row.cost, price.currency).c_str() : "-");
    }
  }
  return text;
}

}  // namespace

std::string to_plain_text(const Study& study, const Findings& findings, const ScalingConfig& config,
                          const Price& price) {
  std::string text = "\n# " + study.machine.cpu + ", " + std::to_string(study.machine.cores) + " cores; " +
                     study.machine.kernel + "\n";
  for (const std::string& other : study.other_machines)
    text += "# some of it was measured on " + other + "\n";
  if (!findings.links.empty()) text += links_table(findings);
  if (!findings.steps.empty()) text += steps_table(findings, config);
  if (!findings.epochs.empty()) text += epochs_table(findings, config, price);
  if (!study.missing.empty()) text += "\nNot there\n";
  for (const std::string& missing : study.missing) text += "  " + missing + "\n";
  return text;
}

}  // namespace lockstep

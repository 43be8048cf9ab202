#include "bench/scaling/study_findings.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "bench/config/wire_rate.h"

namespace lockstep {
namespace {

constexpr const char* kOurs = "lockstep";
constexpr const char* kStream = "tcp";

Exchange exchange_over(const std::string& link) {
  return link == kSharedMemoryLink ? Exchange::kAfterBackward : Exchange::kBuckets;
}

// Of the largest size that was measured.
std::optional<double> stream_gbit_per_s(const LinkMeasurement& link) {
  std::optional<double> rate;
  for (const SizeTime& time : link.times) {
    if (time.contender == kStream) rate = time.busbw_gb_per_s * 8.0;
  }
  return rate;
}

std::string carrier_of(const LinkMeasurement& link) {
  if (link.sent_bytes.empty() || link.ring_bytes <= 0.0) return "not known";
  std::string text;
  for (const auto& [interface, bytes] : link.sent_bytes) {
    const double share = static_cast<double>(bytes) / link.ring_bytes;
    if (share < 0.0005 && interface != "lo" && interface != "wire0") continue;
    char number[64];
    std::snprintf(number, sizeof number, "%s %.1f %%", interface.c_str(), share * 100.0);
    text += (text.empty() ? "" : ", ") + std::string(number);
  }
  return text;
}

std::optional<LinkModel> cpu_of(const LinkMeasurement& link) {
  std::vector<std::pair<std::int64_t, double>> points;
  for (const SizeTime& time : link.times) {
    if (time.contender == kOurs && time.cpu_s > 0.0) points.emplace_back(time.bytes, time.cpu_s);
  }
  return points.size() < 2 ? std::nullopt : std::optional(fit_link(points));
}

LinkFinding link_finding(const LinkMeasurement& link) {
  std::vector<FitPoint> points;
  for (const SizeTime& time : link.times) {
    if (time.contender == kOurs) points.push_back({time.bytes, time.time_s.median, 0.0});
  }
  LinkFinding finding{link.link, link.ranks, cpu_of(link), fit_all_reduce(points)};
  if (link.link != kSharedMemoryLink) {
    finding.attained_gbit_per_s = stream_gbit_per_s(link);
    finding.nominal_gbit_per_s = wire_bits_per_s(link.link) / 1e9;
  }
  finding.carrier = carrier_of(link);
  return finding;
}

// The link's all-reduces of the fewest ranks.
const LinkFinding* base_of(const std::vector<LinkFinding>& links, const std::string& name) {
  const LinkFinding* base = nullptr;
  for (const LinkFinding& link : links) {
    if (link.link == name && (base == nullptr || link.ranks < base->ranks)) base = &link;
  }
  return base;
}

// Weak scaling: the same work per rank. Strong: a share of it.
double efficiency_of(double alone_s, double step_s, int ranks, bool strong) {
  return alone_s / (strong ? step_s * ranks : step_s);
}

class Reckoner {
 public:
  Reckoner(const Study& study, const ScalingConfig& config, const Price& price)
      : study_(study), config_(config), price_(price), strong_(config.mode == "strong") {}

  Findings reckon() {
    for (const LinkMeasurement& link : study_.links) findings_.links.push_back(link_finding(link));
    for (const StepMeasurement& step : study_.steps) {
      if (!step.link.empty()) add_step(step);
    }
    for (const Workload& workload : workloads_of(config_)) {
      for (const std::string& link : links_of(config_)) add_epoch(workload, link);
    }
    return std::move(findings_);
  }

 private:
  void add_step(const StepMeasurement& step) {
    const LinkFinding* base = base_of(findings_.links, step.link);
    const StepProfile* profile = study_.find_profile(step.workload, step.batch_size);
    const ContenderStep* replayed = step.find(kReplayed);
    if (base == nullptr || profile == nullptr || replayed == nullptr) return;
    StepFinding finding{step.workload, step.link, step.ranks, base->ranks};
    const StepPrediction predicted =
        predict_step(*profile, all_reduce_here(*base, step.ranks), exchange_over(step.link));
    if (step.ranks > base->ranks)
      finding.straggling_s = straggling_s(mean_delay_of(step.workload), step.ranks);
    finding.replaying_s = replaying_s(*profile, step.ranks);
    const double computed_s = predicted.step_s + finding.straggling_s;
    finding.predicted_s = computed_s + finding.replaying_s;
    finding.predicted_buckets = predicted.buckets;
    finding.replayed_s = replayed->time_s.median;
    finding.error = finding.predicted_s / finding.replayed_s - 1.0;
    finding.oversubscribed = step.ranks > study_.machine.cores;
    const StepMeasurement* alone = study_.find_step("", 1, step.workload);
    if (const ContenderStep* averaged = step.find(kAveraged)) {
      finding.computed_s = averaged->time_s;
      const ContenderStep* one = alone != nullptr ? alone->find(kAveraged) : nullptr;
      if (one != nullptr)
        finding.efficiency = efficiency_of(one->time_s.median, averaged->time_s.median, step.ranks, strong_);
    }
    if (const ContenderStep* ddp = step.find(kPytorchDdp)) {
      finding.pytorch_s = ddp->time_s;
      const ContenderStep* one = alone != nullptr ? alone->find(kPytorchDdp) : nullptr;
      if (one != nullptr)
        finding.pytorch_efficiency =
            efficiency_of(one->time_s.median, ddp->time_s.median, step.ranks, strong_);
    }
    const StepProfile* whole = whole_profile(step.workload);
    if (whole != nullptr)
      finding.predicted_efficiency = efficiency_of(whole->step_s(), computed_s, step.ranks, strong_);
    findings_.steps.push_back(std::move(finding));
  }

  // Work, and so shared by the cores there are. 0 where it was not measured.
  double replaying_s(const StepProfile& profile, int ranks) const {
    const auto alone_s = study_.lone_replay_s(profile.workload, profile.batch_size);
    const double turns = std::max(1.0, static_cast<double>(ranks) / study_.machine.cores);
    return alone_s ? std::max(0.0, *alone_s - profile.step_s()) * turns : 0.0;
  }

  // How late a rank is on average, from the steps of the fewest ranks: what was measured there beyond the
  // model. Ranks are late by what they compute, whatever link they wait at: the median of the links leaves
  // out what disturbed one of them. 0 where nothing was measured.
  double mean_delay_of(const std::string& workload) const {
    std::vector<double> delays;
    for (const std::string& link : links_of(config_)) {
      const LinkFinding* base = base_of(findings_.links, link);
      const auto delay = base != nullptr ? mean_delay_at(*base, workload) : std::nullopt;
      if (delay) delays.push_back(*delay);
    }
    return delays.empty() ? 0.0 : spread_of(delays).median;
  }

  std::optional<double> mean_delay_at(const LinkFinding& base, const std::string& workload) const {
    const StepMeasurement* step = study_.find_step(base.link, base.ranks, workload);
    if (step == nullptr) return std::nullopt;
    const StepProfile* profile = study_.find_profile(workload, step->batch_size);
    const ContenderStep* replayed = step->find(kReplayed);
    if (profile == nullptr || replayed == nullptr) return std::nullopt;
    const StepPrediction model =
        predict_step(*profile, all_reduce_here(base, base.ranks), exchange_over(base.link));
    const double waited_s = replayed->time_s.median - replaying_s(*profile, base.ranks) - model.step_s;
    return mean_delay_s(waited_s, base.ranks);
  }

  // Of this machine, whose cores all ranks of the study share.
  LinkModel all_reduce_here(const LinkFinding& base, int ranks) const {
    const int cores = study_.machine.cores;
    if (base.link == kSharedMemoryLink)
      return shared_memory_all_reduce(base.fit.all_reduce, base.ranks, ranks, cores);
    if (!base.cpu) return ring_all_reduce(hop_of(base.fit.all_reduce, base.ranks), ranks);
    const double gb_per_s = base.nominal_gbit_per_s / 8.0;
    return on_shared_cores({.all_reduce = base.fit.all_reduce,
                            .cpu = *base.cpu,
                            .wire_s_per_byte = gb_per_s > 0.0 ? 1e-9 / gb_per_s : 0.0,
                            .ranks = base.ranks,
                            .cores = cores},
                           ranks);
  }

  const StepProfile* whole_profile(const std::string& name) const {
    for (const Workload& workload : workloads_of(config_)) {
      if (workload.name == name) return study_.find_profile(name, workload.batch_size);
    }
    return nullptr;
  }

  void add_epoch(const Workload& workload, const std::string& link) {
    const LinkFinding* base = base_of(findings_.links, link);
    const StepProfile* profile = study_.find_profile(workload.name, workload.batch_size);
    if (base == nullptr || profile == nullptr) return;
    EpochQuestion question{*profile, hop_of(base->fit.all_reduce, base->ranks)};
    const LinkFinding* memory = base_of(findings_.links, kSharedMemoryLink);
    if (memory != nullptr) question.within = memory->fit.all_reduce;
    question.exchange = exchange_over(link);
    question.mean_delay_s = mean_delay_of(workload.name);
    question.ranks_per_host = config_.ranks_per_host;
    // Nobody shares memory with more ranks than a host has.
    question.most_ranks =
        link == kSharedMemoryLink ? std::min(config_.ranks_per_host, config_.max_ranks) : config_.max_ranks;
    question.samples_per_epoch = config_.samples_per_epoch;
    question.price = price_;
    findings_.epochs.push_back({workload.name, link, epoch_costs(question)});
  }

  const Study& study_;
  const ScalingConfig& config_;
  const Price& price_;
  const bool strong_;
  Findings findings_;
};

}  // namespace

Findings findings_of(const Study& study, const ScalingConfig& config, const Price& price) {
  return Reckoner(study, config, price).reckon();
}

}  // namespace lockstep

#include "bench/scaling/study_plan.h"

#include <algorithm>

namespace lockstep {
namespace {

std::string joined(const std::vector<std::int64_t>& numbers) {
  std::string text;
  for (const std::int64_t number : numbers) text += (text.empty() ? "" : ",") + std::to_string(number);
  return text;
}

class Planner {
 public:
  explicit Planner(const ScalingConfig& config) : config_(config), peers_(!config.compare.empty()) {}

  std::vector<StudyTask> plan() {
    for (const Workload& workload : workloads_of(config_)) {
      for (const int ranks : counts_from_one()) alone(workload, batch_size(workload, ranks));
    }
    for (const std::string& link : links_of(config_)) {
      for (const int ranks : ranks_of(config_)) {
        if (ranks < 2) continue;
        all_reduces(link, ranks);
        for (const Workload& workload : workloads_of(config_)) step(link, ranks, workload);
      }
    }
    return std::move(tasks_);
  }

 private:
  // Scaling is measured against one rank, whether it was asked for or not.
  std::vector<int> counts_from_one() const {
    std::vector<int> counts = ranks_of(config_);
    if (counts.front() != 1) counts.insert(counts.begin(), 1);
    return counts;
  }

  std::int64_t batch_size(const Workload& workload, int ranks) const {
    return config_.mode == "strong" ? workload.batch_size / ranks : workload.batch_size;
  }

  std::vector<std::string> place(const std::string& link, int ranks) const {
    if (link == kSharedMemoryLink || link.empty()) return {"--nproc-per-node", std::to_string(ranks)};
    return {"--wire", link, "--nnodes", std::to_string(ranks)};
  }

  void add(StudyTask task, std::initializer_list<std::vector<std::string>> more) {
    const auto append = [&](const std::vector<std::string>& options) {
      task.arguments.insert(task.arguments.end(), options.begin(), options.end());
    };
    append(place(task.link, task.ranks));
    for (const std::vector<std::string>& options : more) append(options);
    append({"--timeout", std::to_string(config_.timeout_s)});
    tasks_.push_back(std::move(task));
  }

  std::vector<std::string> step_options(const Workload& workload, std::int64_t batch) const {
    // A study takes many measurements, so each is short: no round is spent on warming up, as the settling
    // step of each turn does that, and the median of the rounds leaves the first one out.
    std::vector<std::string> options = {"--rounds",        std::to_string(config_.rounds),
                                        "--warmup-rounds", "0",
                                        "--steps",         std::to_string(std::max(1, workload.steps / 2))};
    const auto append = [&](std::initializer_list<std::string> more) { options.insert(options.end(), more); };
    if (batch == workload.batch_size) {
      append({"--workload", workload.name});
    } else {
      append({"--model", workload.model, "--batch-size", std::to_string(batch)});
      if (!workload.sample_sizes.empty()) {
        append({"--sample-sizes", joined(workload.sample_sizes), "--num-classes",
                std::to_string(workload.num_classes)});
      }
      if (!workload.hidden.empty()) append({"--hidden", joined(workload.hidden)});
      if (workload.sequence_length > 0) {
        append({"--sequence-length", std::to_string(workload.sequence_length), "--vocab-size",
                std::to_string(workload.vocabulary_size)});
      }
    }
    return options;
  }

  std::vector<std::string> peer_options() const {
    if (!peers_) return {};
    if (config_.python.empty()) return {"--compare", "pytorch-ddp"};
    return {"--compare", "pytorch-ddp", "--python", config_.python};
  }

  static std::string profile_of(const Workload& workload, std::int64_t batch) {
    return "profile-" + workload.name + "-batch-" + std::to_string(batch) + ".json";
  }

  void alone(const Workload& workload, std::int64_t batch) {
    const std::string profile = profile_of(workload, batch);
    const bool known = std::any_of(tasks_.begin(), tasks_.end(),
                                   [&](const StudyTask& task) { return task.profile == profile; });
    if (known) return;
    add({.part = StudyPart::kAlone,
         .name = "alone-" + workload.name + "-batch-" + std::to_string(batch),
         .workload = workload.name,
         .batch_size = batch,
         .arguments = {"step"},
         .profile = profile},
        {step_options(workload, batch), peer_options(), {"--contenders", "local,averaged"}});
    // What the sleeping itself takes beyond the profile, which is nobody's communication.
    add({.part = StudyPart::kStep,
         .name = "replayed-" + workload.name + "-batch-" + std::to_string(batch),
         .workload = workload.name,
         .batch_size = batch,
         .arguments = {"step"},
         .profile = profile},
        {step_options(workload, batch), {"--contenders", ""}});
  }

  void all_reduces(const std::string& link, int ranks) {
    const std::string suffix = link + "-" + std::to_string(ranks);
    const std::string iters = std::to_string(config_.iters);
    std::vector<std::string> options = {"-b", "64K", "-e", config_.max_bytes, "-f", "4", "-w",
                                        "2",  "-n",  iters};
    if (link != kSharedMemoryLink) options.insert(options.end(), {"--compare", "tcp"});
    add({.part = StudyPart::kAllReduce,
         .name = "all-reduce-" + suffix,
         .link = link,
         .ranks = ranks,
         .arguments = {"all-reduce"}},
        {options});
    if (!peers_) return;
    add({.part = StudyPart::kPeers,
         .name = "peers-" + suffix,
         .link = link,
         .ranks = ranks,
         .arguments = {"all-reduce"}},
        {{"-b", "1M", "-e", config_.max_bytes, "-f", "16", "-w", "1", "-n", iters, "--compare", "gloo,mpi"}});
  }

  void step(const std::string& link, int ranks, const Workload& workload) {
    const std::int64_t batch = batch_size(workload, ranks);
    const std::string contenders = link == kSharedMemoryLink ? "averaged,sharded" : "averaged";
    add({.part = StudyPart::kStep,
         .name = "step-" + link + "-" + std::to_string(ranks) + "-" + workload.name,
         .link = link,
         .ranks = ranks,
         .workload = workload.name,
         .batch_size = batch,
         .arguments = {"step"},
         .profile = profile_of(workload, batch)},
        {step_options(workload, batch), peer_options(), {"--contenders", contenders}});
  }

  const ScalingConfig& config_;
  const bool peers_;
  std::vector<StudyTask> tasks_;
};

}  // namespace

std::string StudyTask::title() const {
  const std::string where =
      link.empty() ? "" : " over " + link + ", " + std::to_string(ranks) + (ranks == 1 ? " rank" : " ranks");
  switch (part) {
    case StudyPart::kAlone:
      return workload + " on one rank, batch " + std::to_string(batch_size);
    case StudyPart::kAllReduce:
      return "all-reduce" + where;
    case StudyPart::kPeers:
      return "all-reduce beside Gloo and MPI" + where;
    case StudyPart::kStep:
      return workload + (link.empty() ? " replayed on one rank, batch " + std::to_string(batch_size) : where);
  }
  return {};
}

std::string StudyTask::identity() const {
  std::string text = profile;
  for (const std::string& argument : arguments) text += " " + argument;
  return text;
}

std::vector<StudyTask> plan_study(const ScalingConfig& config) {
  return Planner(config).plan();
}

}  // namespace lockstep

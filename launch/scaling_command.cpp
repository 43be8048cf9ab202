#include "launch/scaling_command.h"

#include <chrono>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <map>

#include "bench/config/scaling_config.h"
#include "bench/scaling/scaling_report.h"
#include "bench/scaling/study.h"
#include "bench/scaling/study_findings.h"
#include "launch/job_signals.h"
#include "launch/program_path.h"
#include "launch/shaped_wire.h"
#include "launch/supervisor.h"
#include "sampler/data_error.h"
#include "trainer/bill/tariff_options.h"
#include "trainer/cost/price_table.h"
#include "trainer/run_dir/exit_code.h"

namespace lockstep {
namespace {

namespace fs = std::filesystem;

void tell_user(const std::string& text) {
  std::cerr << "lockstep: " << text << std::endl;
}

Price price_of(const ScalingConfig& config) {
  Price price{config.price_per_gpu_hour, config.currency};
  if (!price.is_known() && !config.gpu_type.empty()) {
    price = find_price(read_price_table(table_of(config.price_table)),
                       {config.gpu_type, config.region, config.spot, config.currency})
                .price;
  }
  check_price(price);
  return price;
}

// The first error that the task's ranks or launcher gave, without what they all begin with.
std::string error_in(const fs::path& log) {
  std::ifstream stream(log);
  constexpr std::string_view kError = "error: ";
  std::string found;
  for (std::string line; std::getline(stream, line);) {
    const std::size_t at = line.find(kError);
    if (line.find("lockstep") != std::string::npos && at != std::string::npos)
      found = line.substr(at + kError.size());
  }
  return found.empty() ? "it failed" : found;
}

class StudyRun {
 public:
  StudyRun(const ScalingConfig& config, const StudyFolder& folder) : config_(config), folder_(folder) {}

  // The tasks, of which all that could be are done; false if somebody asked to stop.
  bool run() {
    tasks_ = plan_study(config_);
    find_obstacles();
    const JobSignals signals;
    for (std::size_t i = 0; i < tasks_.size() && !stopped_; ++i) {
      if (folder_.has(tasks_[i]) || why_missing_.contains(tasks_[i].name)) continue;
      measure(i, signals);
      if (pytorch_is_absent_) {  // without it the rest of the study is another one
        pytorch_is_absent_ = false;
        config_.compare.clear();
        tasks_ = plan_study(config_);
        i = static_cast<std::size_t>(-1);
      }
    }
    return !stopped_;
  }

  Study read() const {
    Study study = folder_.read(tasks_, why_missing_);
    study.missing.insert(study.missing.begin(), absent_.begin(), absent_.end());
    return study;
  }
  bool some_failed() const { return failures_ > 0; }

 private:
  void find_obstacles() {
    bool wires = false;
    std::size_t there = 0;
    for (const StudyTask& task : tasks_) {
      const bool done = folder_.has(task);
      there += done ? 1 : 0;
      wires = wires || (task.on_wire() && !done);
    }
    if (there > 0)
      tell_user(std::to_string(there) + " of " + std::to_string(tasks_.size()) +
                " measurements are there already");
    if (!wires) return;
    const std::string problem = why_no_wires();
    if (problem.empty()) {
      if (const int removed = remove_abandoned_wires(); removed > 0)
        tell_user("removed " + std::to_string(removed) +
                  " network namespaces that a killed benchmark had left");
      return;
    }
    tell_user("warning: wires are left out: " + problem);
    for (const StudyTask& task : tasks_) {
      if (task.on_wire()) why_missing_[task.name] = problem;
    }
  }

  void measure(std::size_t index, const JobSignals& signals) {
    const StudyTask& task = tasks_[index];
    std::printf("[%2zu/%zu] %-48s", index + 1, tasks_.size(), task.title().c_str());
    std::fflush(stdout);
    const auto begin = std::chrono::steady_clock::now();
    const JobStatus status = run_job(job_of(task), signals);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    stopped_ = status.asked_to_pause;
    if (status.status == 0) {
      folder_.keep(task);
      std::printf(" %6.1f s\n", seconds);
      return;
    }
    std::error_code ignored;
    fs::remove(folder_.unfinished_file(task), ignored);
    if (stopped_) {
      std::printf(" stopped\n");
      return;
    }
    const std::string error = error_in(folder_.log_file(task));
    std::printf(" failed\n");
    std::fflush(stdout);
    if (error.find("--python") != std::string::npos) {
      absent_.push_back("PyTorch: absent (" + error + ")");
      tell_user("warning: PyTorch is left out: " + error);
      pytorch_is_absent_ = true;
      return;
    }
    ++failures_;
    why_missing_[task.name] = error;
    tell_user("warning: " + task.title() + ": " + error + " (" + folder_.log_file(task).string() + ")");
  }

  SupervisedJob job_of(const StudyTask& task) const {
    SupervisedJob job;
    job.command.environment = current_environment();
    job.command.arguments = {own_program().string(), "bench"};
    auto& arguments = job.command.arguments;
    arguments.insert(arguments.end(), task.arguments.begin(), task.arguments.end());
    if (task.part == StudyPart::kAlone)
      arguments.insert(arguments.end(), {"--record-profile", folder_.profile_file(task).string()});
    if (task.part == StudyPart::kStep)
      arguments.insert(arguments.end(), {"--replay", folder_.profile_file(task).string()});
    arguments.insert(arguments.end(), {"--json", folder_.unfinished_file(task).string()});
    job.direct = true;
    job.world_size = 0;
    job.output = folder_.log_file(task);
    job.say = tell_user;
    job.on_first_signal = "stopping; the same command goes on from here";
    return job;
  }

  ScalingConfig config_;
  const StudyFolder& folder_;
  std::vector<StudyTask> tasks_;
  std::map<std::string, std::string> why_missing_;  // by the task's name
  std::vector<std::string> absent_;
  bool pytorch_is_absent_ = false;
  bool stopped_ = false;
  int failures_ = 0;
};

}  // namespace

int run_scaling_command(const std::vector<std::string>& arguments) {
  const ScalingConfig config = parse_scaling_command(arguments);
  const Price price = price_of(config);
  const StudyFolder folder(config.output);
  const auto others = folder.other_machines();
  if (!others.empty() && !config.mix_machines) {
    throw DataError("--output: " + config.output + " holds results of another machine (" + others.front() +
                    "); name another folder, or accept them with --mix-machines");
  }
  StudyRun run(config, folder);
  const bool finished = run.run();
  const Study study = run.read();
  const Findings findings = findings_of(study, config, price);
  std::cout << to_plain_text(study, findings, config, price);
  std::string command = "lockstep bench scaling";
  for (const std::string& argument : arguments) command += " " + shell_quoted(argument);
  const fs::path report =
      config.report.empty() ? fs::path(config.output) / "scaling.html" : fs::path(config.report);
  write_scaling_report(study, findings, config, price, command, report);
  std::cout << "\nreport: " << report.string() << std::endl;
  if (!finished) {
    tell_user("stopped on request; the same command goes on");
    return static_cast<int>(ExitCode::kPaused);
  }
  return static_cast<int>(run.some_failed() ? ExitCode::kPeerFailed : ExitCode::kFinished);
}

}  // namespace lockstep

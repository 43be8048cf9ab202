// What a study of scaling has measured, as it lies in its folder: one result file of `lockstep bench` for
// each measurement, finished ones only.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "bench/report/run_facts.h"
#include "bench/report/statistics.h"
#include "bench/report/step_report.h"
#include "bench/scaling/step_model.h"
#include "bench/scaling/study_plan.h"

namespace lockstep {

// One contender's all-reduce of one size.
struct SizeTime {
  std::string contender;
  std::int64_t bytes = 0;
  Spread time_s;
  double busbw_gb_per_s = 0.0;
  double cpu_s = 0.0;  // of all ranks together; 0: not known
};

struct LinkMeasurement {
  std::string link;
  int ranks = 2;
  std::string backend;
  std::vector<SizeTime> times = {};
  std::map<std::string, std::int64_t> sent_bytes = {};  // by all ranks, by interface; empty: not known
  double ring_bytes = 0.0;  // what rings of these all-reduces send, those of all contenders and all ranks
  std::string command = {};
};

struct ContenderStep {
  std::string contender;
  Spread time_s;
  std::optional<StepTimeline> timeline = {};
};

struct StepMeasurement {
  std::string link;  // empty: one rank alone
  int ranks = 1;
  std::string workload;
  std::int64_t batch_size = 0;  // samples per rank
  std::vector<ContenderStep> contenders = {};
  std::string command = {};

  const ContenderStep* find(const std::string& contender) const;
};

struct Study {
  Machine machine;                          // this one
  std::vector<std::string> other_machines;  // where some of it was measured, if that was allowed
  std::vector<LinkMeasurement> links;       // all-reduces, ours with the raw stream
  std::vector<LinkMeasurement> peers;       // all-reduces beside Gloo and MPI
  std::vector<StepMeasurement> steps;
  std::vector<StepMeasurement> lone_replays;  // on one rank
  std::vector<StepProfile> profiles;
  std::vector<std::string> missing;  // "all-reduce over 1gbit, 2 ranks: why"

  const StepMeasurement* find_step(const std::string& link, int ranks, const std::string& workload) const;
  // Seconds; none if that was not measured.
  std::optional<double> lone_replay_s(const std::string& workload, std::int64_t batch_size) const;
  const StepProfile* find_profile(const std::string& workload, std::int64_t batch_size) const;
};

// The folder of a study. Throws DataError for what cannot be read or written there.
class StudyFolder {
 public:
  explicit StudyFolder(std::filesystem::path folder);  // made if it is not there

  // Where the task's `lockstep bench` is to write, its log, and its profile.
  std::filesystem::path unfinished_file(const StudyTask& task) const;
  std::filesystem::path log_file(const StudyTask& task) const;
  std::filesystem::path profile_file(const StudyTask& task) const;

  // Takes over what a finished task has written.
  void keep(const StudyTask& task) const;
  // Whether that is there, measured with the same options.
  bool has(const StudyTask& task) const;
  // The machines, in words, of results in the folder that are not this one.
  std::vector<std::string> other_machines() const;

  // All of `tasks` that is there; of the rest, `why_missing` by name says why.
  Study read(const std::vector<StudyTask>& tasks,
             const std::map<std::string, std::string>& why_missing) const;

 private:
  std::filesystem::path result_file(const std::string& name) const;

  std::filesystem::path folder_;
};

}  // namespace lockstep

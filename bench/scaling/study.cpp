#include "bench/scaling/study.h"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "sampler/data_error.h"
#include "trainer/run_dir/atomic_file.h"

namespace lockstep {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr const char* kIdentity = "study_task";

Json read_json(const fs::path& file) {
  std::ifstream stream(file);
  return Json::parse(stream, nullptr, /*allow_exceptions=*/false);
}

Json this_machine() {
  RunFacts facts;
  facts.machine = read_machine();
  return Json::parse(to_json_text(facts)).at("machine");
}

std::string in_words(const Json& machine) {
  return machine.value("cpu", "?") + ", " + std::to_string(machine.value("cores", 0)) + " cores, " +
         machine.value("kernel", "?");
}

Spread spread_at(const Json& json, double unit) {
  return {json.at("min").get<double>() * unit, json.at("median").get<double>() * unit,
          json.at("max").get<double>() * unit};
}

std::optional<StepTimeline> timeline_of(const Json& contender) {
  const auto found = contender.find("timeline");
  if (found == contender.end()) return std::nullopt;
  const auto seconds = [](const Json& json, const char* key) { return json.at(key).get<double>() * 1e-3; };
  StepTimeline timeline{seconds(*found, "forward_ms"),
                        seconds(*found, "backward_ms"),
                        seconds(*found, "exposed_communication_ms"),
                        seconds(*found, "optimizer_ms"),
                        {}};
  for (const Json& bucket : found->at("buckets")) {
    timeline.buckets.push_back({bucket.at("bytes").get<std::int64_t>(), seconds(bucket, "ready_ms"),
                                seconds(bucket, "begin_ms"), seconds(bucket, "end_ms")});
  }
  return timeline;
}

// What a ring sends of one operation, from all ranks together.
double ring_bytes_of_all(double bytes, int ranks) {
  return 2.0 * (ranks - 1) * bytes;
}

LinkMeasurement link_measurement(const StudyTask& task, const Json& json) {
  LinkMeasurement link{task.link, task.ranks, json.at("backend").get<std::string>()};
  link.command = json.at("command").get<std::string>();
  for (const Json& row : json.at("rows")) {
    SizeTime time{row.at("contender").get<std::string>(), row.at("size_bytes").get<std::int64_t>(),
                  spread_at(row.at("time_us"), 1e-6), row.at("busbw_gb_per_s").get<double>(),
                  row.value("cpu_us", 0.0) * 1e-6};
    link.ring_bytes +=
        ring_bytes_of_all(static_cast<double>(time.bytes), task.ranks) * row.value("operations", 0);
    link.times.push_back(std::move(time));
  }
  const Json network = json.value("network", Json::object());
  const Json sent = network.value("sent_bytes", Json::object());
  for (const auto& [interface, bytes] : sent.items()) link.sent_bytes[interface] = bytes.get<std::int64_t>();
  return link;
}

StepMeasurement step_measurement(const StudyTask& task, const Json& json) {
  StepMeasurement step{task.link,       task.ranks, task.workload,
                       task.batch_size, {},         json.at("command").get<std::string>()};
  for (const Json& contender : json.at("workloads").at(0).at("contenders")) {
    step.contenders.push_back({contender.at("contender").get<std::string>(),
                               spread_at(contender.at("step_ms"), 1e-3), timeline_of(contender)});
  }
  return step;
}

}  // namespace

const ContenderStep* StepMeasurement::find(const std::string& contender) const {
  const auto found = std::find_if(contenders.begin(), contenders.end(),
                                  [&](const ContenderStep& one) { return one.contender == contender; });
  return found == contenders.end() ? nullptr : &*found;
}

const StepMeasurement* Study::find_step(const std::string& link, int ranks,
                                        const std::string& workload) const {
  const auto found = std::find_if(steps.begin(), steps.end(), [&](const StepMeasurement& step) {
    return step.link == link && step.ranks == ranks && step.workload == workload;
  });
  return found == steps.end() ? nullptr : &*found;
}

std::optional<double> Study::lone_replay_s(const std::string& workload, std::int64_t batch_size) const {
  for (const StepMeasurement& step : lone_replays) {
    if (step.workload != workload || step.batch_size != batch_size) continue;
    if (const ContenderStep* replayed = step.find(kReplayed)) return replayed->time_s.median;
  }
  return std::nullopt;
}

const StepProfile* Study::find_profile(const std::string& workload, std::int64_t batch_size) const {
  const auto found = std::find_if(profiles.begin(), profiles.end(), [&](const StepProfile& profile) {
    return profile.workload == workload && profile.batch_size == batch_size;
  });
  return found == profiles.end() ? nullptr : &*found;
}

StudyFolder::StudyFolder(fs::path folder) : folder_(std::move(folder)) {
  for (const char* part : {"measurements", "logs"}) {
    std::error_code error;
    fs::create_directories(folder_ / part, error);
    if (error) {
      throw DataError("--output: " + (folder_ / part).string() + " cannot be made (" + error.message() +
                      "); name a folder that can be written");
    }
  }
}

fs::path StudyFolder::result_file(const std::string& name) const {
  return folder_ / "measurements" / (name + ".json");
}

fs::path StudyFolder::unfinished_file(const StudyTask& task) const {
  return folder_ / "measurements" / (task.name + ".json.part");
}

fs::path StudyFolder::log_file(const StudyTask& task) const {
  return folder_ / "logs" / (task.name + ".txt");
}

fs::path StudyFolder::profile_file(const StudyTask& task) const {
  return folder_ / "measurements" / task.profile;
}

void StudyFolder::keep(const StudyTask& task) const {
  Json json = read_json(unfinished_file(task));
  if (!json.is_object())
    throw DataError(unfinished_file(task).string() + " is no result of lockstep bench; see " +
                    log_file(task).string());
  json[kIdentity] = task.identity();
  write_file_atomically(result_file(task.name), json.dump(2) + "\n");
  fs::remove(unfinished_file(task));
}

bool StudyFolder::has(const StudyTask& task) const {
  const Json json = read_json(result_file(task.name));
  const bool profiled = task.part != StudyPart::kAlone || fs::exists(profile_file(task));
  return profiled && json.is_object() && json.value(kIdentity, "") == task.identity();
}

std::vector<std::string> StudyFolder::other_machines() const {
  const Json here = this_machine();
  std::set<std::string> others;
  for (const auto& entry : fs::directory_iterator(folder_ / "measurements")) {
    if (entry.path().extension() != ".json") continue;
    const Json json = read_json(entry.path());
    if (!json.is_object() || !json.contains("machine") || json.at("machine") == here) continue;
    others.insert(in_words(json.at("machine")));
  }
  return {others.begin(), others.end()};
}

Study StudyFolder::read(const std::vector<StudyTask>& tasks,
                        const std::map<std::string, std::string>& why_missing) const {
  Study study;
  study.machine = read_machine();
  study.other_machines = other_machines();
  for (const StudyTask& task : tasks) {
    if (!has(task)) {
      const auto why = why_missing.find(task.name);
      study.missing.push_back(task.title() + ": " +
                              (why == why_missing.end() ? "not measured" : why->second));
      continue;
    }
    const fs::path file = result_file(task.name);
    try {
      const Json json = read_json(file);
      if (task.part == StudyPart::kAllReduce) study.links.push_back(link_measurement(task, json));
      if (task.part == StudyPart::kPeers) study.peers.push_back(link_measurement(task, json));
      if (task.part == StudyPart::kAlone || task.part == StudyPart::kStep) {
        const bool lone_replay = task.part == StudyPart::kStep && task.link.empty();
        (lone_replay ? study.lone_replays : study.steps).push_back(step_measurement(task, json));
      }
      if (task.part == StudyPart::kAlone) {
        study.profiles.push_back(read_step_profile(profile_file(task)));
        study.profiles.back().workload = task.workload;  // a model with sizes of its own has another name
      }
    } catch (const nlohmann::json::exception& error) {
      throw DataError(file.string() + " is no result of lockstep bench (" + error.what() +
                      "); remove it to measure it again");
    }
  }
  return study;
}

}  // namespace lockstep

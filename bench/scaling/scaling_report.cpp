#include "bench/scaling/scaling_report.h"

#include <nlohmann/json.hpp>

#include "sampler/data_error.h"
#include "trainer/report/html_page.h"
#include "trainer/run_dir/atomic_file.h"

namespace lockstep {

extern const std::string_view kScalingReportScript;

namespace {

using Json = nlohmann::ordered_json;

Json spread_json(const Spread& spread) {
  return {{"min", spread.min}, {"median", spread.median}, {"max", spread.max}};
}

Json times_json(const std::vector<SizeTime>& times) {
  Json list = Json::array();
  for (const SizeTime& time : times) {
    list.push_back({{"contender", time.contender},
                    {"bytes", time.bytes},
                    {"time_s", spread_json(time.time_s)},
                    {"busbw_gb_per_s", time.busbw_gb_per_s}});
  }
  return list;
}

Json link_json(const LinkFinding& link, const LinkMeasurement& measured) {
  Json fitted = Json::array();
  for (const FitPoint& point : link.fit.points) fitted.push_back({point.bytes, point.fitted_s});
  return {{"link", link.link},
          {"ranks", link.ranks},
          {"backend", measured.backend},
          {"latency_s", link.fit.all_reduce.latency_s},
          {"s_per_byte", link.fit.all_reduce.s_per_byte},
          {"hop_s_per_byte", hop_of(link.fit.all_reduce, link.ranks).s_per_byte},
          {"worst_residual", link.fit.worst_residual()},
          {"attained_gbit_per_s", link.attained_gbit_per_s ? Json(*link.attained_gbit_per_s) : Json(nullptr)},
          {"nominal_gbit_per_s", link.nominal_gbit_per_s},
          {"carrier", link.carrier},
          {"times", times_json(measured.times)},
          {"fitted", fitted},
          {"command", measured.command}};
}

Json buckets_json(const std::vector<BucketSpan>& buckets) {
  Json list = Json::array();
  for (const BucketSpan& bucket : buckets)
    list.push_back({bucket.bytes, bucket.ready_s, bucket.begin_s, bucket.end_s});
  return list;
}

Json timeline_json(const StepTimeline& timeline) {
  return {{"forward_s", timeline.forward_s},
          {"backward_s", timeline.backward_s},
          {"exposed_s", timeline.exposed_s},
          {"optimizer_s", timeline.optimizer_s},
          {"buckets", buckets_json(timeline.buckets)}};
}

Json step_json(const StepMeasurement& step) {
  Json json = {{"link", step.link},         {"ranks", step.ranks},
               {"workload", step.workload}, {"batch_size", step.batch_size},
               {"command", step.command},   {"contenders", Json::array()}};
  for (const ContenderStep& contender : step.contenders) {
    Json one = {{"contender", contender.contender}, {"time_s", spread_json(contender.time_s)}};
    if (contender.timeline) one["timeline"] = timeline_json(*contender.timeline);
    json["contenders"].push_back(std::move(one));
  }
  return json;
}

Json finding_json(const StepFinding& step) {
  return {{"workload", step.workload},
          {"link", step.link},
          {"ranks", step.ranks},
          {"fitted_at", step.fitted_at},
          {"predicted_s", step.predicted_s},
          {"replaying_s", step.replaying_s},
          {"straggling_s", step.straggling_s},
          {"predicted_buckets", buckets_json(step.predicted_buckets)},
          {"replayed_s", step.replayed_s},
          {"error", step.error},
          {"computed_s", step.computed_s ? spread_json(*step.computed_s) : Json(nullptr)},
          {"efficiency", step.efficiency},
          {"predicted_efficiency", step.predicted_efficiency},
          {"pytorch_s", step.pytorch_s ? spread_json(*step.pytorch_s) : Json(nullptr)},
          {"pytorch_efficiency", step.pytorch_efficiency},
          {"oversubscribed", step.oversubscribed}};
}

Json epoch_json(const EpochFinding& epoch) {
  Json rows = Json::array();
  for (const EpochRow& row : epoch.rows) {
    rows.push_back({{"ranks", row.ranks},
                    {"algorithm", row.algorithm},
                    {"step_s", row.step_s},
                    {"exposed_s", row.exposed_s},
                    {"efficiency", row.efficiency},
                    {"samples_per_s", row.samples_per_s},
                    {"epoch_s", row.epoch_s},
                    {"cost", row.cost ? Json(*row.cost) : Json(nullptr)}});
  }
  return {{"workload", epoch.workload}, {"link", epoch.link}, {"rows", rows}};
}

Json machine_json(const Study& study) {
  Json machines = Json::array(
      {study.machine.cpu + ", " + std::to_string(study.machine.cores) + " cores; " + study.machine.kernel});
  for (const std::string& other : study.other_machines) machines.push_back(other);
  return machines;
}

}  // namespace

std::string scaling_report(const Study& study, const Findings& findings, const ScalingConfig& config,
                           const Price& price, const std::string& command) {
  Json data = {{"command", command},
               {"machines", machine_json(study)},
               {"cores", study.machine.cores},
               {"mode", config.mode},
               {"samples_per_epoch", config.samples_per_epoch},
               {"ranks_per_host", config.ranks_per_host},
               {"price_per_gpu_hour", price.per_gpu_hour},
               {"currency", price.currency},
               {"missing", study.missing}};
  for (const char* key : {"links", "peers", "steps", "findings", "profiles", "epochs"})
    data[key] = Json::array();
  for (std::size_t i = 0; i < findings.links.size(); ++i)
    data["links"].push_back(link_json(findings.links[i], study.links[i]));
  for (const LinkMeasurement& peers : study.peers) {
    data["peers"].push_back({{"link", peers.link},
                             {"ranks", peers.ranks},
                             {"times", times_json(peers.times)},
                             {"command", peers.command}});
  }
  for (const StepMeasurement& step : study.steps) data["steps"].push_back(step_json(step));
  for (const StepFinding& step : findings.steps) data["findings"].push_back(finding_json(step));
  for (const StepProfile& profile : study.profiles)
    data["profiles"].push_back(Json::parse(to_json_text(profile)));
  for (const EpochFinding& epoch : findings.epochs) data["epochs"].push_back(epoch_json(epoch));
  const std::string json = data.dump(-1, ' ', false, Json::error_handler_t::replace);
  return html_page("Lockstep: scaling", json, kScalingReportScript);
}

void write_scaling_report(const Study& study, const Findings& findings, const ScalingConfig& config,
                          const Price& price, const std::string& command,
                          const std::filesystem::path& output) {
  try {
    write_file_atomically(output, scaling_report(study, findings, config, price, command));
  } catch (const std::filesystem::filesystem_error& error) {
    throw DataError("--report: " + output.string() + " cannot be written (" + error.code().message() +
                    "); name a file in a folder that can be");
  }
}

}  // namespace lockstep

#include "trainer/report/run_report.h"

#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "sampler/data_error.h"
#include "trainer/report/html_page.h"
#include "trainer/run_dir/atomic_file.h"

namespace lockstep {

extern const std::string_view kRunReportScript;

namespace {

using Json = nlohmann::ordered_json;

// Seven digits are more than a picture shows, and half the bytes. JSON has no NaN: null.
Json short_number(double value) {
  if (!std::isfinite(value)) return nullptr;
  char text[64];
  std::snprintf(text, sizeof text, "%.7g", value);
  return std::strtod(text, nullptr);
}

template <class Point, class Value>
Json column(const std::vector<Point>& points, Value Point::*member) {
  Json values = Json::array();
  for (const Point& point : points) {
    if constexpr (std::is_same_v<Value, double>) {
      values.push_back(short_number(point.*member));
    } else {
      values.push_back(point.*member);
    }
  }
  return values;
}

// The lowest and the highest loss of every stretch, in their order: a spike stays visible.
std::vector<TrainPoint> thinned(const std::vector<TrainPoint>& points) {
  if (points.size() <= kMostReportPoints) return points;
  const std::size_t stretches = kMostReportPoints / 2;
  std::vector<TrainPoint> kept;
  for (std::size_t i = 0; i < stretches; ++i) {
    const std::size_t begin = i * points.size() / stretches;
    const std::size_t end = (i + 1) * points.size() / stretches;
    std::size_t low = begin;
    std::size_t high = begin;
    for (std::size_t at = begin; at < end; ++at) {
      if (points[at].loss < points[low].loss) low = at;
      // A loss that is none is what a reader looks for first.
      if (!std::isnan(points[high].loss) && !(points[at].loss <= points[high].loss)) high = at;
    }
    kept.push_back(points[std::min(low, high)]);
    if (low != high) kept.push_back(points[std::max(low, high)]);
  }
  return kept;
}

Json pairs(const std::vector<std::pair<std::string, std::string>>& from) {
  Json list = Json::array();
  for (const auto& [key, value] : from) list.push_back(Json::array({key, value}));
  return list;
}

Json parts_json(const std::vector<TimePart>& parts) {
  Json list = Json::array();
  for (const TimePart& part : parts) {
    list.push_back(
        {{"name", part.name}, {"seconds", short_number(part.seconds)}, {"money", short_number(part.money)}});
  }
  return list;
}

Json to_json(const RunRecord& run) {
  const std::vector<TrainPoint> train = thinned(run.train);
  Json json = {{"name", run.name},           {"facts", pairs(run.facts)}, {"options", pairs(run.options)},
               {"logged", run.train.size()}, {"shown", train.size()},     {"currency", run.currency},
               {"damaged", run.damaged}};
  json["train"] = {{"step", column(train, &TrainPoint::step)},
                   {"running_s", column(train, &TrainPoint::running_s)},
                   {"loss", column(train, &TrainPoint::loss)},
                   {"lr", column(train, &TrainPoint::lr)},
                   {"samples_per_s", column(train, &TrainPoint::samples_per_s)},
                   {"spend", column(train, &TrainPoint::spend)}};
  json["eval"] = {{"step", column(run.evaluations, &EvalPoint::step)},
                  {"running_s", column(run.evaluations, &EvalPoint::running_s)},
                  {"loss", column(run.evaluations, &EvalPoint::loss)},
                  {"accuracy", column(run.evaluations, &EvalPoint::accuracy)}};
  json["attempts"] = Json::array();
  for (const RunAttempt& attempt : run.attempts) {
    json["attempts"].push_back({{"attempt", attempt.attempt},
                                {"first_step", attempt.first_step},
                                {"last_step", attempt.last_step},
                                {"start_unix_s", attempt.start_unix_s},
                                {"end_unix_s", attempt.end_unix_s},
                                {"earlier_s", short_number(attempt.earlier_s)},
                                {"running_s", short_number(attempt.running_s)},
                                {"gpus", attempt.gpus},
                                {"price_per_gpu_hour", short_number(attempt.price_per_gpu_hour)},
                                {"currency", attempt.currency},
                                {"end_reason", attempt.end_reason}});
  }
  json["events"] = Json::array();
  for (const RunEvent& event : run.events) {
    json["events"].push_back({{"event", event.event},
                              {"attempt", event.attempt},
                              {"step", event.step},
                              {"time_unix_s", event.time_unix_s},
                              {"running_s", short_number(event.running_s)},
                              {"save_time_s", short_number(event.save_time_s)},
                              {"detail", event.detail}});
  }
  json["parts"] = parts_json(run.parts);
  json["step_parts"] = parts_json(run.step_parts);
  return json;
}

}  // namespace

std::string run_report(const std::vector<RunRecord>& runs, const std::string& command) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  Json data = {{"command", command},
               {"made_unix_s", std::chrono::duration_cast<std::chrono::seconds>(now).count()},
               {"runs", Json::array()}};
  for (const RunRecord& run : runs) data["runs"].push_back(to_json(run));
  // Bytes that are no UTF-8 (a path may hold any) are replaced.
  const std::string json = data.dump(-1, ' ', false, Json::error_handler_t::replace);
  const std::string title = runs.size() == 1 ? runs.front().name : std::to_string(runs.size()) + " runs";
  return html_page("Lockstep: " + title, json, kRunReportScript);
}

void write_run_report(const std::vector<RunRecord>& runs, const std::filesystem::path& output,
                      const std::string& command) {
  try {
    write_file_atomically(output, run_report(runs, command));
  } catch (const std::filesystem::filesystem_error& error) {
    throw DataError(output.string() + " cannot be written (" + error.code().message() +
                    "); name a file in a folder that can be");
  }
}

}  // namespace lockstep

#include "trainer/trace/trace_format.h"

#include <nlohmann/json.hpp>

#include <set>

namespace lockstep {
namespace {

using Json = nlohmann::ordered_json;

Json name_of(const char* kind, const TraceProcess& process, int line, const std::string& name) {
  return {{"ph", "M"}, {"pid", process.rank}, {"tid", line}, {"name", kind}, {"args", {{"name", name}}}};
}

std::string line_name(int line) {
  if (line == 0) return "training";
  if (line == TraceEvent::kComputeLine) return "device: compute";
  if (line == TraceEvent::kCommunicationLine) return "device: communication";
  return "bucket " + std::to_string(line - 1);
}

double microseconds(std::int64_t ns) {
  return static_cast<double>(ns) / 1e3;
}

}  // namespace

std::string to_trace_events(const TraceProcess& process, const std::vector<TraceEvent>& events) {
  std::string text;
  const auto append = [&](const Json& object) {
    if (!text.empty()) text += ",\n";
    text += object.dump(-1, ' ', false, Json::error_handler_t::replace);
  };
  append(name_of("process_name", process, 0, process.label));
  Json sort_index = name_of("process_sort_index", process, 0, "");
  sort_index["args"] = {{"sort_index", process.rank}};
  append(sort_index);
  std::set<int> lines;
  for (const TraceEvent& event : events) {
    if (lines.insert(event.line).second) {
      append(name_of("thread_name", process, event.line, line_name(event.line)));
    }
    const bool instant = event.duration_ns == TraceEvent::kInstant;
    Json object = {{"ph", instant ? "i" : "X"},
                   {"pid", process.rank},
                   {"tid", event.line},
                   {"ts", microseconds(event.begin_ns - process.origin_ns)}};
    if (instant) {
      object["s"] = "t";  // drawn on its thread's line
    } else {
      object["dur"] = microseconds(event.duration_ns);
    }
    object["cat"] = event.category;
    object["name"] = event.name;
    if (event.bytes > 0) object["args"] = {{"bytes", event.bytes}};
    append(object);
  }
  return text;
}

std::string to_trace_file(const std::vector<std::string>& ranks,
                          const std::vector<std::pair<std::string, std::string>>& metadata) {
  Json other = Json::object();
  for (const auto& [name, value] : metadata) other[name] = value;
  std::string text = "{\"displayTimeUnit\": \"ms\",\n\"otherData\": " +
                     other.dump(-1, ' ', false, Json::error_handler_t::replace) + ",\n\"traceEvents\": [\n";
  for (std::size_t i = 0; i < ranks.size(); ++i) text += (i > 0 ? ",\n" : "") + ranks[i];
  return text + "\n]}\n";
}

}  // namespace lockstep

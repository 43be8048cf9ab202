#include "trainer/metrics/metrics_writer.h"

#include <chrono>
#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "sampler/data_error.h"
#include "trainer/metrics/peak_memory.h"

namespace lockstep {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kLongestLine = 1 << 20;  // that is read back

Json line_of(const char* kind, int attempt) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return {{"kind", kind},
          {"attempt", attempt},
          {"time_unix_s",
           static_cast<double>(std::chrono::duration_cast<std::chrono::milliseconds>(now).count()) / 1e3}};
}

// JSON has no NaN and no infinity: null, and the text beside it in KEY_text.
void put_number(Json& line, const std::string& key, double value) {
  if (std::isfinite(value)) {
    line[key] = value;
  } else {
    line[key] = nullptr;
    line[key + "_text"] = std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf";
  }
}

void put_number(Json& line, const std::string& key, const std::optional<double>& value) {
  if (value) put_number(line, key, *value);
}

void put_peak(Json& line, const std::optional<PeakDeviceMemory>& peak) {
  if (!peak) return;
  put_number(line, "peak_device_allocated_bytes", peak->allocated_bytes);
  put_number(line, "peak_device_reserved_bytes", peak->reserved_bytes);
}

void put_costs(Json& line, const Costs& costs) {
  line["spend"] = costs.spend.amount ? Json(*costs.spend.amount) : Json(nullptr);
  line["currency"] = costs.spend.currency;
  line["gpu_hours"] = costs.spend.gpu_hours;
  put_number(line, "spend_per_epoch", costs.per_epoch);
  put_number(line, costs.counts_tokens ? "spend_per_million_tokens" : "spend_per_million_samples",
             costs.per_million);
  if (costs.to_finish) put_number(line, "spend_to_finish", costs.to_finish->amount);
  put_number(line, "remaining_s", costs.remaining_s);
  put_number(line, "budget_share", costs.budget_share);
}

void put_text(Json& line, const char* key, const std::string& text) {
  if (!text.empty()) line[key] = text;
}

// `kind` comes first in every line, so that readers can tell lines apart without parsing them. What is no
// whole line of ours is passed over.
template <class Visit>
void for_each_line_of(const char* kind, const std::filesystem::path& file, const Visit& visit) {
  const std::string start = std::string(R"({"kind":")") + kind + "\",";
  std::ifstream input(file, std::ios::binary);
  std::string line;
  while (std::getline(input, line) && !input.eof()) {
    if (!line.starts_with(start) || line.size() > kLongestLine) continue;
    const Json json = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (json.is_object()) visit(json);
  }
}

// None where the field is missing, no count, or larger than `most`.
std::optional<std::int64_t> count_in(const Json& line, const char* field, std::int64_t most) {
  const auto value = line.find(field);
  if (value == line.end() || !value->is_number_unsigned()) return std::nullopt;
  const auto count = value->get<std::uint64_t>();
  if (count > static_cast<std::uint64_t>(most)) return std::nullopt;
  return static_cast<std::int64_t>(count);
}

// Bytes that are no UTF-8 (a path may hold any) are replaced.
std::string text_of(const Json& line) {
  return line.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

std::optional<std::int64_t> last_metrics_checkpoint(const std::filesystem::path& file) {
  std::optional<std::int64_t> last;
  for_each_line_of("event", file, [&](const Json& event) {
    const auto name = event.find("event");
    if (name != event.end() && *name == "checkpoint")
      last = std::max(last, count_in(event, "step", std::numeric_limits<std::int64_t>::max()));
  });
  return last;
}

MetricsWriter::MetricsWriter(std::filesystem::path file, int attempt, Warn warn)
    : path_(std::move(file)), attempt_(attempt), warn_(std::move(warn)) {}

void MetricsWriter::write(const StartRecord& record) {
  Json line = line_of("start", attempt_);
  line["world_size"] = record.world_size;
  line["logical_world_size"] = record.logical_world_size;
  line["device"] = record.device;
  line["backend"] = record.backend;
  line["precision"] = record.precision;
  line["reduction_order"] = record.reduction_order;
  line["num_threads"] = record.num_threads;
  line["model"] = record.model;
  line["num_parameters"] = record.num_parameters;
  line["data"] = record.data;
  line["train_samples"] = record.train_samples;
  line["test_samples"] = record.test_samples;
  line["optimizer"] = record.optimizer;
  put_number(line, "lr", record.lr);
  line["batch_size"] = record.batch_size;
  line["accumulate_grad_batches"] = record.accumulate_grad_batches;
  line["max_epochs"] = record.max_epochs;
  line["max_steps"] = record.max_steps;
  line["seed"] = record.seed;
  line["step"] = record.step;
  line["price_per_gpu_hour"] = record.price.is_known() ? Json(record.price.per_gpu_hour) : Json(nullptr);
  line["currency"] = record.price.currency;
  put_text(line, "price_source", record.price_source);
  put_text(line, "price_date", record.price_date);
  put_text(line, "gpu_type", record.gpu_type);
  if (record.budget > 0.0) line["budget"] = record.budget;
  line["versions"] = Json::object();
  for (const auto& [name, version] : record.versions) line["versions"][name] = version;
  for (const auto& [name, value] : record.nccl_environment) line["nccl_environment"][name] = value;
  write_line(text_of(line));
}

void MetricsWriter::write(const TrainRecord& record) {
  Json line = line_of("train", attempt_);
  line["epoch"] = record.epoch;
  line["step"] = record.step;
  line["samples_seen"] = record.samples_seen;
  put_number(line, "loss", record.loss);
  put_number(line, "lr", record.lr);
  put_number(line, "samples_per_s", record.samples_per_s);
  line["steps"] = record.times.steps;
  line["step_time_s"] = record.times.mean_step_s();
  for (int part = 0; part < kStepPartCount; ++part) {
    const auto step_part = static_cast<StepPart>(part);
    line[std::string(step_part_name(step_part)) + "_s"] = record.times.mean_part_s(step_part);
  }
  line["bytes_sent"] = record.bytes_sent;
  if (record.rework_steps > 0) line["rework_steps"] = record.rework_steps;
  line["elapsed_s"] = record.elapsed_s;
  put_costs(line, record.costs);
  put_number(line, "grad_norm", record.grad_norm);
  put_number(line, "loss_scale", record.loss_scale);
  put_peak(line, record.peak_device);
  write_line(text_of(line));
}

void MetricsWriter::write(const EvalRecord& record) {
  Json line = line_of("eval", attempt_);
  line["epoch"] = record.epoch;
  line["step"] = record.step;
  put_number(line, "loss", record.loss);
  put_number(line, "accuracy", record.accuracy);
  line["samples"] = record.samples;
  line["eval_time_s"] = record.eval_time_s;
  line["elapsed_s"] = record.elapsed_s;
  write_line(text_of(line));
}

void MetricsWriter::write(const EventRecord& record) {
  Json line = line_of("event", attempt_);
  line["event"] = record.event;
  line["step"] = record.step;
  put_number(line, "save_time_s", record.save_time_s);
  put_number(line, "write_time_s", record.write_time_s);
  put_number(line, "read_time_s", record.read_time_s);
  put_number(line, "since_launch_s", record.since_launch_s);
  put_number(line, "since_failure_s", record.since_failure_s);
  if (!record.detail.empty()) line["detail"] = record.detail;
  line["elapsed_s"] = record.elapsed_s;
  write_line(text_of(line));
}

void MetricsWriter::write(const EndRecord& record) {
  Json line = line_of("end", attempt_);
  line["reason"] = record.reason;
  line["exit_code"] = record.exit_code;
  line["epochs"] = record.epochs;
  line["step"] = record.step;
  line["samples_seen"] = record.samples_seen;
  put_number(line, "train_loss", record.train_loss);
  put_number(line, "test_loss", record.test_loss);
  put_number(line, "test_accuracy", record.test_accuracy);
  line["elapsed_s"] = record.elapsed_s;
  line["parts_s"] = Json::object();
  for (int i = 0; i < kRunPartCount; ++i) {
    const auto part = static_cast<RunPart>(i);
    line["parts_s"][run_part_name(part)] = record.parts[part];
  }
  put_costs(line, record.costs);
  put_number(line, "peak_resident_bytes", peak_resident_bytes());
  put_peak(line, record.peak_device);
  write_line(text_of(line));
}

void MetricsWriter::write_line(const std::string& line) {
  try {
    if (!file_) file_.emplace(path_);
    file_->append(line);
  } catch (const DataError& error) {
    if (!std::exchange(warned_, true))
      warn_(std::string(error.what()) + "; training goes on without its metrics");
  }
}

}  // namespace lockstep

#include "trainer/report/run_record.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "sampler/data_error.h"
#include "trainer/metrics/number_format.h"
#include "trainer/metrics/step_timer.h"
#include "trainer/report/ledger_parts.h"
#include "trainer/run_dir/run_dir.h"

namespace lockstep {
namespace {

using Json = nlohmann::json;
constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
constexpr std::size_t kLongestLine = 1 << 20;
constexpr std::size_t kMostNamed = 100;  // damaged lines; the rest are counted

// A train line with what is needed to say which of several attempts' lines holds.
struct TrainLine {
  int attempt = 0;
  double steps = 0.0;
  double parts_s[kStepPartCount] = {};  // of all its steps
  TrainPoint point;
};

struct EvalLine {
  int attempt = 0;
  double eval_time_s = 0.0;
  EvalPoint point;
};

struct Lines {
  std::vector<TrainLine> train;
  std::vector<EvalLine> evaluations;
};

double number(const Json& line, const char* key) {
  const auto found = line.find(key);
  if (found == line.end() || found->is_null()) return kNone;
  if (!found->is_number()) throw std::invalid_argument(std::string(key) + " is no number");
  return found->get<double>();
}

double needed_number(const Json& line, const char* key) {
  const double value = number(line, key);
  if (!std::isfinite(value)) throw std::invalid_argument(std::string(key) + " is missing");
  return value;
}

std::int64_t whole(const Json& line, const char* key) {
  const double value = needed_number(line, key);
  if (std::abs(value) > 9e15 || value != std::floor(value))
    throw std::invalid_argument(std::string(key) + " is no whole number");
  return static_cast<std::int64_t>(value);
}

std::string text(const Json& line, const char* key) {
  const auto found = line.find(key);
  if (found == line.end() || found->is_null()) return {};
  if (!found->is_string()) throw std::invalid_argument(std::string(key) + " is no text");
  return found->get<std::string>();
}

std::vector<std::pair<std::string, std::string>> facts_of(const Json& start) {
  std::vector<std::pair<std::string, std::string>> facts;
  for (const auto& [key, value] : start.items()) {
    if (key == "kind" || key == "attempt" || key == "time_unix_s" || value.is_null()) continue;
    if (value.is_object()) {
      for (const auto& [name, version] : value.items())
        facts.emplace_back(name + " version",
                           version.is_string() ? version.get<std::string>() : version.dump());
    } else if (value.is_number_integer() && key != "seed") {
      facts.emplace_back(key, format_count(value.get<std::int64_t>()));
    } else {
      facts.emplace_back(key, value.is_string() ? value.get<std::string>() : value.dump());
    }
  }
  return facts;
}

class Reader {
 public:
  explicit Reader(RunRecord& run) : run_(run) {}

  // Throws std::invalid_argument for what is wrong with the line.
  void add(const Json& line) {
    const std::string kind = text(line, "kind");
    const int attempt = static_cast<int>(std::clamp<std::int64_t>(whole(line, "attempt"), 0, 1'000'000'000));
    const double time_unix_s = needed_number(line, "time_unix_s");
    if (kind == "start") return begin(line, attempt, time_unix_s);
    if (run_.attempts.empty() || run_.attempts.back().attempt != attempt)
      throw std::invalid_argument("attempt " + std::to_string(attempt) + " has not started");
    // What this version does not know yet is passed over.
    if (kind == "train") {
      add_train(line, attempt);
    } else if (kind == "eval") {
      EvalLine eval{attempt, std::max(0.0, number(line, "eval_time_s")), {}};
      eval.point = {whole(line, "step"), 0.0, number(line, "loss"), number(line, "accuracy")};
      eval.point.running_s = run_.attempts.back().earlier_s + needed_number(line, "elapsed_s");
      lines_.evaluations.push_back(eval);
    } else if (kind == "event") {
      RunEvent event{text(line, "event"), attempt, whole(line, "step"),
                     time_unix_s,         0.0,     number(line, "save_time_s"),
                     text(line, "detail")};
      event.running_s = run_.attempts.back().earlier_s + needed_number(line, "elapsed_s");
      run_.events.push_back(std::move(event));
    } else if (kind == "end") {
      run_.attempts.back().end_reason = text(line, "reason");
      run_.attempts.back().last_step = std::max(run_.attempts.back().last_step, whole(line, "step"));
    }
    RunAttempt& now = run_.attempts.back();
    now.end_unix_s = std::max(now.end_unix_s, time_unix_s);
    now.running_s = std::max(now.running_s, number(line, "elapsed_s"));
  }

  const Lines& lines() const { return lines_; }

 private:
  void begin(const Json& line, int attempt, double time_unix_s) {
    RunAttempt next;
    next.attempt = attempt;
    next.first_step = next.last_step = whole(line, "step");
    next.start_unix_s = next.end_unix_s = time_unix_s;
    next.gpus = needed_number(line, "world_size");
    next.price_per_gpu_hour = number(line, "price_per_gpu_hour");
    next.currency = text(line, "currency");
    if (!run_.attempts.empty())
      next.earlier_s = run_.attempts.back().earlier_s + run_.attempts.back().running_s;
    run_.facts = facts_of(line);
    run_.attempts.push_back(std::move(next));
  }

  void add_train(const Json& line, int attempt) {
    TrainLine train;
    train.attempt = attempt;
    train.steps = needed_number(line, "steps");
    for (int part = 0; part < kStepPartCount; ++part) {
      const std::string key = std::string(step_part_name(static_cast<StepPart>(part))) + "_s";
      train.parts_s[part] = train.steps * needed_number(line, key.c_str());
    }
    RunAttempt& now = run_.attempts.back();
    train.point = {whole(line, "step"),           now.earlier_s + needed_number(line, "elapsed_s"),
                   number(line, "loss"),          number(line, "lr"),
                   number(line, "samples_per_s"), number(line, "spend")};
    now.last_step = std::max(now.last_step, train.point.step);
    lines_.train.push_back(train);
  }

  RunRecord& run_;
  Lines lines_;
};

// As they stand in config.toml, which holds one option a line.
std::vector<std::pair<std::string, std::string>> read_options(const std::filesystem::path& file) {
  std::vector<std::pair<std::string, std::string>> options;
  std::ifstream input(file, std::ios::binary);
  for (std::string line; std::getline(input, line);) {
    const std::size_t equals = line.find(" = ");
    if (line.starts_with('#') || equals == std::string::npos || line.size() > kLongestLine) continue;
    options.emplace_back(line.substr(0, equals), line.substr(equals + 3));
  }
  return options;
}

// Of the `steps` that end with `step`, the part that a later attempt took back by going on from before them.
double repeated(const RunRecord& run, int attempt, std::int64_t step, double steps) {
  double most = 0.0;
  for (const RunAttempt& later : run.attempts) {
    if (later.attempt <= attempt || later.first_step >= step) continue;
    most = std::max(most, std::min(1.0, static_cast<double>(step - later.first_step) / std::max(steps, 1.0)));
  }
  return most;
}

// A later attempt that went on from an earlier step took back what came after it, whether it got as far or
// not.
bool holds(const RunRecord& run, int attempt, std::int64_t step) {
  return repeated(run, attempt, step, 1.0) == 0.0;
}

void add_parts(RunRecord& run, const Lines& lines) {
  constexpr int kEvaluation = kStepPartCount;
  constexpr int kCheckpoint = kEvaluation + 1;
  constexpr int kRework = kCheckpoint + 1;
  constexpr int kBetween = kRework + 1;
  constexpr int kParts = kBetween + 1;
  std::vector<TimePart> parts(kParts);
  for (int part = 0; part < kStepPartCount; ++part)
    parts[static_cast<std::size_t>(part)].name = step_part_name(static_cast<StepPart>(part));
  parts[kEvaluation].name = "evaluation";
  parts[kCheckpoint].name = "checkpoint";
  parts[kRework].name = "rework";
  parts[kBetween].name = "between_steps";

  bool one_currency = true;
  for (const RunAttempt& attempt : run.attempts)
    one_currency = one_currency && attempt.currency == run.attempts.front().currency &&
                   std::isfinite(attempt.price_per_gpu_hour);
  run.currency = one_currency ? run.attempts.front().currency : "";
  for (const RunAttempt& attempt : run.attempts) {
    double seconds[kParts] = {};
    for (const TrainLine& line : lines.train) {
      if (line.attempt != attempt.attempt) continue;
      const double rework = repeated(run, line.attempt, line.point.step, line.steps);
      for (int part = 0; part < kStepPartCount; ++part) {
        seconds[part] += (1.0 - rework) * line.parts_s[part];
        seconds[kRework] += rework * line.parts_s[part];
      }
    }
    for (const EvalLine& line : lines.evaluations)
      if (line.attempt == attempt.attempt) seconds[kEvaluation] += line.eval_time_s;
    for (const RunEvent& event : run.events)
      if (event.attempt == attempt.attempt && event.save_time_s > 0.0)
        seconds[kCheckpoint] += event.save_time_s;
    double known = 0.0;
    for (const double part : seconds) known += part;
    seconds[kBetween] = std::max(0.0, attempt.running_s - known);
    for (std::size_t part = 0; part < kParts; ++part) {
      parts[part].seconds += seconds[part];
      parts[part].money +=
          one_currency ? seconds[part] / 3600.0 * attempt.gpus * attempt.price_per_gpu_hour : kNone;
    }
  }
  run.step_parts.assign(parts.begin(), parts.begin() + kStepPartCount);
  run.parts = std::move(parts);
}

// The bill as `lockstep cost` has it takes the place of what the metrics alone can say.
void take_ledger(RunRecord& run, const std::filesystem::path& file) {
  try {
    LedgerParts ledger = ledger_parts(read_ledger(file));
    if (ledger.parts.empty()) return;
    run.parts = std::move(ledger.parts);
    run.currency = std::move(ledger.currency);
  } catch (const DataError& error) {
    run.damaged.push_back(std::string(error.what()) + ": time and money are those that metrics.jsonl tells");
  }
}

}  // namespace

RunRecord read_run(const std::filesystem::path& run_dir) {
  const std::filesystem::path file = RunDir(run_dir).metrics_file();
  std::ifstream input(file, std::ios::binary);
  if (!input)
    throw DataError(file.string() + " cannot be read; name the folder of a run that has written its metrics");
  RunRecord run;
  run.name = run_dir.lexically_normal().string();
  Reader reader(run);
  std::size_t damaged = 0;
  std::size_t number = 0;
  const auto pass_over = [&](const std::string& why) {
    if (++damaged <= kMostNamed)
      run.damaged.push_back("metrics.jsonl, line " + std::to_string(number) + ": " + why);
  };
  for (std::string line; std::getline(input, line);) {
    ++number;
    if (input.eof()) {
      pass_over("cut off");  // a line counts once its newline is there
      break;
    }
    if (line.size() > kLongestLine) {
      pass_over("longer than 1 MiB");
      continue;
    }
    const Json parsed = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!parsed.is_object()) {
      pass_over("no JSON object");
      continue;
    }
    try {
      reader.add(parsed);
    } catch (const std::invalid_argument& error) {
      pass_over(error.what());
    }
  }
  if (damaged > kMostNamed)
    run.damaged.push_back("and " + std::to_string(damaged - kMostNamed) + " more damaged lines");
  if (run.attempts.empty())
    throw DataError(file.string() + " holds no attempt's start that can be read; name the folder of a run");
  for (const TrainLine& line : reader.lines().train)
    if (holds(run, line.attempt, line.point.step)) run.train.push_back(line.point);
  for (const EvalLine& line : reader.lines().evaluations)
    if (holds(run, line.attempt, line.point.step)) run.evaluations.push_back(line.point);
  add_parts(run, reader.lines());
  take_ledger(run, RunDir(run_dir).ledger_file());
  run.options = read_options(RunDir(run_dir).config_file());
  return run;
}

}  // namespace lockstep

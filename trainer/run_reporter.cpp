#include "trainer/run_reporter.h"

#include <c10/macros/Macros.h>
#include <torch/version.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <utility>
#include <vector>

#include "comm/nccl_library.h"
#include "sampler/ceil_div.h"
#include "sampler/data_error.h"
#include "trainer/bill/ranks_saving.h"
#include "trainer/bill/run_bill.h"
#include "trainer/cost/ledger.h"
#include "trainer/metrics/metrics_writer.h"
#include "trainer/metrics/progress_bar.h"
#include "trainer/report/run_report.h"
#include "trainer/run_dir/exit_code.h"
#include "trainer/run_dir/restart_note.h"
#include "trainer/run_sinks.h"

namespace lockstep {
namespace {

// Seconds since the launcher was started; none where there was none.
std::optional<double> seconds_since_launch() {
  const char* launched =
      std::getenv("LOCKSTEP_LAUNCH_TIME_NS");  // of the monotonic clock, which processes share
  if (launched == nullptr) return std::nullopt;
  return static_cast<double>(StepTimer::monotonic_ns() - std::atoll(launched)) * 1e-9;
}

RunSize size_of(const RunFacts& facts, const std::optional<RestartNote>& restart) {
  const StartRecord& start = facts.start;
  RunSize size;
  size.gpus = start.world_size;
  size.total_steps = facts.total_steps;
  size.steps_per_epoch = ceil_div(facts.batches_per_epoch, start.accumulate_grad_batches);
  size.samples_per_step = start.batch_size * start.logical_world_size * start.accumulate_grad_batches;
  size.test_samples = start.test_samples;
  size.tokens_per_sample = facts.tokens_per_sample;
  size.logical_world_size = start.logical_world_size;
  size.reached_step = restart ? restart->step : 0;
  size.parameter_bytes = start.num_parameters * static_cast<std::int64_t>(sizeof(float));
  return size;
}

// Since the failure that this attempt makes good for; none where it is no restart.
std::optional<double> seconds_since_failure(const std::optional<RestartNote>& restart) {
  if (!restart) return std::nullopt;
  return static_cast<double>(StepTimer::monotonic_ns() - restart->failed_at_ns) * 1e-9;
}

}  // namespace

struct RunReporter::State {
  State(const RunDir& folder, RunFacts run_facts)
      : run_dir(folder),
        facts(std::move(run_facts)),
        bar(facts.config.progress_bar ? facts.terminal_columns : 0, stdout),
        sinks(run_dir, facts.config, facts.start, [this](const std::string& line) { warn_later(line); }),
        bill(run_dir, facts.config, size_of(facts, restart),
             {[this](const std::string& line) { say(line); }, [this](const std::string& line) { warn(line); },
              [this](const std::string& line) { warn_later(line); }}),
        metrics(run_dir.metrics_file(), bill.attempt(), [this](const std::string& line) { warn(line); }) {}

  void say(const std::string& line) { bar.print_above(line); }
  void warn(const std::string& line) {
    bar.finish();
    std::fprintf(stderr, "lockstep: warning: %s\n", line.c_str());
  }

  // For the ledger's thread: the bar belongs to the training thread, which prints the line with its next
  // step.
  void warn_later(const std::string& line) {
    const std::scoped_lock lock(later_mutex);
    later.push_back(line);
  }
  void print_later_warnings() {
    std::vector<std::string> lines;
    {
      const std::scoped_lock lock(later_mutex);
      lines.swap(later);
    }
    for (const std::string& line : lines) warn(line);
  }

  Progress progress(const Position& at, std::optional<double> loss) const {
    Progress progress;
    progress.epoch = at.epoch;
    progress.max_epochs = facts.config.max_epochs;
    progress.batch = at.batch;
    progress.batches_per_epoch = facts.batches_per_epoch;
    progress.loss = loss ? loss : last_loss;
    progress.samples_per_s = rate(samples_of_attempt, times_of_attempt);
    progress.costs = costs(at);
    progress.elapsed_s = progress.costs.spend.gpu_hours * 3600.0 / facts.start.world_size;
    return progress;
  }

  std::optional<PeakDeviceMemory> peak_device() const {
    if (!facts.peak_device_memory) return std::nullopt;
    return facts.peak_device_memory();
  }

  double epochs_done(const Position& at) const {
    return static_cast<double>(at.epoch) +
           static_cast<double>(at.batch) / static_cast<double>(facts.batches_per_epoch);
  }
  Costs costs(const Position& at) const { return bill.costs(at.step, epochs_done(at), at.samples_seen); }

  LiveMetrics live(const StepReport& step) const {
    Progress now = progress(step.at, step.loss);
    return {.epoch = step.at.epoch,
            .step = step.at.step,
            .samples_seen = step.at.samples_seen,
            .loss = now.loss,
            .lr = step.lr,
            .times = times_of_attempt,
            .bytes_sent = step.bytes_sent,
            .spend = std::move(now.costs.spend),
            .remaining_s = now.costs.remaining_s,
            .to_finish = std::move(now.costs.to_finish)};
  }

  // A report that cannot be written never makes a run fail.
  void write_report() {
    try {
      const std::string folder = run_dir.root().string();
      write_run_report({read_run(folder)}, run_dir.report_file(), "lockstep report " + folder);
    } catch (const std::exception& error) {
      warn(std::string("no report was written: ") + error.what());
    }
  }

  // A table that lacks a line is no reason to fail either.
  std::string saved_by_fewer_ranks() {
    try {
      return describe(lockstep::saved_by_fewer_ranks(read_ledger(run_dir.ledger_file())));
    } catch (const DataError& error) {
      warn(std::string(error.what()) + "; what --adaptive-ranks has saved is not known");
      return {};
    }
  }

  static double rate(std::int64_t samples, const StepTimes& times) {
    const double seconds = static_cast<double>(times.total_ns()) * 1e-9;
    return seconds > 0.0 ? static_cast<double>(samples) / seconds : 0.0;
  }

  RunDir run_dir;
  RunFacts facts;
  const std::optional<RestartNote> restart = read_restart_note(exit_report_dir());
  std::mutex later_mutex;
  std::vector<std::string> later;
  ProgressBar bar;
  RunSinks sinks;  // before anything is recorded: a port that is taken is an attempt that never began
  RunBill bill;
  MetricsWriter metrics;
  StepTimes times_of_attempt;
  StepTimes times_since_record;  // all steps; those of the attempt are without rework
  std::int64_t samples_of_attempt = 0;
  std::int64_t samples_since_record = 0;
  std::int64_t rework_steps_since_record = 0;
  bool has_stepped = false;
  std::optional<double> last_loss;
};

RunReporter::RunReporter(const RunDir& run_dir, RunFacts facts)
    : state_(std::make_unique<State>(run_dir, std::move(facts))) {
  StartRecord start = state_->facts.start;
  const Tariff& tariff = state_->bill.tariff();
  start.price = tariff.price;
  start.price_source = tariff.source;
  start.price_date = tariff.date;
  start.gpu_type = tariff.gpu_type;
  start.budget = state_->facts.config.budget;
  start.versions = {{"lockstep", LOCKSTEP_VERSION}, {"torch", TORCH_VERSION}};
  if (start.backend == "nccl") {
    start.versions.emplace_back("nccl", nccl_version_text(nccl_version()));
    start.nccl_environment = nccl_environment();
  }
  state_->metrics.write(start);
  if (state_->restart) {
    state_->metrics.write(EventRecord{.event = "restart",
                                      .step = start.step,
                                      .detail = state_->restart->reason,
                                      .elapsed_s = state_->bill.running_s()});
  }
}

RunReporter::~RunReporter() = default;

void RunReporter::say(const std::string& line) {
  state_->say(line);
}
void RunReporter::warn(const std::string& line) {
  state_->warn(line);
}

void RunReporter::enter(RunPart part) {
  state_->bill.enter(part);
}
bool RunReporter::must_stop(std::int64_t step) const {
  return state_->bill.must_stop(step);
}
bool RunReporter::is_off_peak_over() const {
  return state_->bill.is_off_peak_over();
}
bool RunReporter::wants_fewer_ranks() const {
  return state_->bill.fewer_ranks() > 0;
}
bool RunReporter::is_at_mark() const {
  return state_->bill.is_at_mark();
}
std::string RunReporter::stop_message() const {
  return state_->bill.stop_message();
}
std::string RunReporter::stop_reason() const {
  return state_->bill.stop_reason();
}

void RunReporter::stepped(const StepReport& step) {
  State& state = *state_;
  const bool is_rework = state.bill.stepped(step.at.step, step.times);
  if (!std::exchange(state.has_stepped, true)) {
    state.metrics.write(EventRecord{.event = "first_step",
                                    .step = step.at.step,
                                    .since_launch_s = seconds_since_launch(),
                                    .elapsed_s = state.bill.running_s(),
                                    .since_failure_s = seconds_since_failure(state.restart)});
  }
  if (!is_rework) {
    state.times_of_attempt += step.times;
    state.samples_of_attempt += step.samples;
  }
  state.times_since_record += step.times;
  state.samples_since_record += step.samples;
  state.rework_steps_since_record += is_rework ? 1 : 0;
  state.print_later_warnings();
  if (step.loss) {
    state.last_loss = step.loss;
    state.bill.observe_loss(step.at.step, *step.loss);
  }
  if (state.sinks.live()) state.sinks.stepped(state.live(step));
  if (state.bar.due()) state.bar.update(state.progress(step.at, step.loss));
  if (!step.log) return;
  TrainRecord record;
  record.epoch = step.at.epoch;
  record.step = step.at.step;
  record.samples_seen = step.at.samples_seen;
  record.loss = step.loss.value_or(0.0);
  record.lr = step.lr;
  record.samples_per_s = State::rate(std::exchange(state.samples_since_record, 0), state.times_since_record);
  record.times = std::exchange(state.times_since_record, {});
  record.bytes_sent = step.bytes_sent;
  record.rework_steps = std::exchange(state.rework_steps_since_record, 0);
  record.elapsed_s = state.bill.running_s();
  record.costs = state.costs(step.at);
  record.grad_norm = step.grad_norm;
  record.loss_scale = step.loss_scale;
  record.peak_device = state.peak_device();
  state.metrics.write(record);
  state.sinks.logged(record);
  state.bar.log(state.progress(step.at, step.loss));
}

void RunReporter::evaluated(const Position& at, double loss, double accuracy, std::int64_t samples,
                            double seconds) {
  State& state = *state_;
  const EvalRecord record{at.epoch, at.step, loss, accuracy, samples, seconds, state.bill.running_s()};
  state.metrics.write(record);
  state.sinks.evaluated(record);
  char line[128];
  std::snprintf(line, sizeof line, "epoch %lld: test loss %.4f, accuracy %.4f (%lld samples, %.1f s)",
                static_cast<long long>(at.epoch + 1), loss, accuracy, static_cast<long long>(samples),
                seconds);
  state.say(line);
}

void RunReporter::happened(const std::string& event, const Position& at, const std::string& detail,
                           std::optional<double> save_time_s, std::optional<double> write_time_s,
                           std::optional<double> read_time_s) {
  const EventRecord record{.event = event,
                           .step = at.step,
                           .save_time_s = save_time_s,
                           .write_time_s = write_time_s,
                           .read_time_s = read_time_s,
                           .detail = detail,
                           .elapsed_s = state_->bill.running_s()};
  state_->metrics.write(record);
  state_->sinks.happened(record);
  if (event == "checkpoint" && write_time_s) state_->bill.wrote(*write_time_s);
}

void RunReporter::finished(const std::string& reason, int exit_code, const Position& at,
                           std::optional<double> train_loss, std::optional<double> test_loss,
                           std::optional<double> test_accuracy, const std::string& checkpoint) {
  State& state = *state_;
  if (reason == kFewerRanks) {
    happened(reason, at,
             state.bill.fewer_ranks_condition() + ": goes on with " +
                 std::to_string(state.bill.fewer_ranks()) + " of " +
                 std::to_string(state.facts.start.logical_world_size) + " ranks");
  }
  state.bar.finish();
  const double elapsed_s = state.bill.running_s();
  const Costs costs = state.costs(at);
  const RunPartTimes parts = state.bill.parts();
  const std::optional<PeakDeviceMemory> peak_device = state.peak_device();
  state.metrics.write(EndRecord{reason, exit_code, at.epoch, at.step, at.samples_seen, train_loss, test_loss,
                                test_accuracy, elapsed_s, parts, costs, peak_device});
  state.bill.close(reason);
  state.print_later_warnings();
  RunSummary summary;
  summary.model = state.facts.start.model;
  summary.num_parameters = state.facts.start.num_parameters;
  summary.data = state.facts.data;
  summary.world_size = state.facts.start.world_size;
  summary.logical_world_size = state.facts.start.logical_world_size;
  summary.device = state.facts.start.device;
  summary.backend = state.facts.start.backend;
  summary.precision = state.facts.start.precision;
  summary.epochs = at.epoch;
  summary.max_epochs = state.facts.config.max_epochs;
  summary.steps = at.step;
  summary.elapsed_s = elapsed_s;
  summary.samples_per_s = State::rate(state.samples_of_attempt, state.times_of_attempt);
  summary.times = state.times_of_attempt;
  summary.train_loss = train_loss;
  summary.test_loss = test_loss;
  summary.test_accuracy = test_accuracy;
  summary.checkpoint = checkpoint;
  summary.parts = parts;
  summary.costs = costs;
  summary.peak_device = peak_device;
  if (const double epochs = state.epochs_done(at); epochs > 0.0) {
    summary.per_epoch = costs.spend;
    summary.per_epoch->gpu_hours /= epochs;
    summary.per_epoch->amount = costs.per_epoch;
  }
  if (!state.facts.config.adaptive_ranks.empty()) summary.fewer_ranks = state.saved_by_fewer_ranks();
  std::fputs(format_summary(summary).c_str(), stdout);
  std::fflush(stdout);
  if (!state.facts.config.no_report) state.write_report();
}

}  // namespace lockstep

#include "trainer/bill/run_bill.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <limits>
#include <mutex>
#include <stdexcept>
#include <utility>

#include "sampler/ceil_div.h"
#include "sampler/data_error.h"
#include "trainer/bill/budget_gate.h"
#include "trainer/bill/idle_watch.h"
#include "trainer/bill/tariff_options.h"
#include "trainer/bill/team_ledger.h"
#include "trainer/config/checkpoint_options.h"
#include "trainer/cost/adaptive_ranks.h"
#include "trainer/cost/bill.h"
#include "trainer/cost/budget.h"
#include "trainer/cost/launch_moment.h"
#include "trainer/cost/ledger_writer.h"
#include "trainer/cost/off_peak.h"
#include "trainer/cost/projection.h"
#include "trainer/metrics/metrics_history.h"

namespace lockstep {
namespace {

// Steps that are measured before the run's cost is held against the budget; and those after which it is
// refused already if it would cost too much with every step as quick as the quickest of them.
constexpr std::int64_t kProbeSteps = 10;
constexpr std::int64_t kLeastProbeSteps = 3;
// From the last save until the launcher is gone. Twice what the slowest attempt of the run has taken; before
// one is known, a share of the start, which takes longer on a busy machine, too, but may have had much data
// to read, which is no sign for the end. Longer still where the machine has become busier since.
constexpr double kLeastLeaving_s = 0.3;
constexpr double kLeavingShare = 0.2;
constexpr double kLongestStart_s = 50.0;
constexpr double kLeavingMargin = 2.0;
constexpr double kLongestLeaving_s = 60.0;  // more is a launcher that was stopped or a machine that slept
// A first save is taken to go at this pace: weights and two states of the optimizer, to a slow disk.
constexpr double kSavedBytesPerSecond = 100e6;
constexpr double kSavedCopies = 3.0;

// What is known before the first step of an attempt.
struct Beginning {
  LedgerRecord record;
  MeterStart start;
  std::string remark;
  std::int64_t reached_step = 0;  // by earlier attempts
  double leaving_s = 0.0;         // that the slowest of them took to leave; 0: not known
};

double seconds_of_earlier_attempts(const std::vector<LedgerRecord>& records, const std::string& launch) {
  double seconds = 0.0;
  for (const LedgerRecord& record : records) {
    if (record.launch == launch) seconds += record.running_s;
  }
  return seconds;
}

Beginning begin(const RunDir& run_dir, const Tariff& tariff, int gpus) {
  const auto records = read_ledger(run_dir.ledger_file());
  const MetricsHistory history = read_metrics_history(run_dir.metrics_file());
  Beginning beginning;
  std::string launch;
  double running_s = 0.0;
  if (const auto moment = told_launch_moment()) {
    launch = moment->to_text();
    running_s = std::max(0.0, seconds_since(*moment) - seconds_of_earlier_attempts(records, launch));
  }
  const int attempt = 1 + std::max(last_attempt(records), history.last_attempt);
  beginning.record = first_record(attempt, tariff, gpus, running_s, launch);
  EarlierSpend earlier = earlier_spend(records, beginning.record);
  beginning.start = std::move(earlier.start);
  beginning.start.running_s = running_s;
  beginning.remark = std::move(earlier.remark);
  beginning.reached_step = history.last_step;
  beginning.leaving_s = longest_leaving_s(records);
  for (const LedgerRecord& record : records)
    beginning.reached_step = std::max(beginning.reached_step, record.step);
  return beginning;
}

}  // namespace

struct RunBill::State {
  State(const RunDir& run_dir, const TrainConfig& train_config, const RunSize& run_size, Tariff tariff,
        Beginning beginning, Tellers run_tellers)
      : config(train_config),
        size(run_size),
        tellers(std::move(run_tellers)),
        attempt(beginning.record.attempt),
        reached_step(std::max(beginning.reached_step, size.reached_step)),
        meter(std::move(tariff), size.gpus, beginning.start),
        beginning_amount(beginning.start.earlier.amount.value_or(0.0)),
        beginning_interval_s(beginning.start.interval_s),
        known_leaving_s(beginning.leaving_s),
        ledger(run_dir.ledger_file(), std::move(beginning.record), meter, parts, tellers.warn_later,
               std::chrono::seconds(10), [this] {
                 share_with_team();
                 watch_idle();
               }) {
    if (config.budget > 0.0) budget.emplace(config.budget, config.budget_stop, config.currency);
    projection.expect_save(kSavedCopies * static_cast<double>(size.parameter_bytes) / kSavedBytesPerSecond);
    if (!config.adaptive_ranks.empty())
      advisor.emplace(parse_adaptive_ranks(config.adaptive_ranks), size.gpus, size.logical_world_size);
    if (!config.off_peak.empty()) {
      const OffPeakWindow window(config.off_peak);
      const double now_s = unix_seconds();
      closes_unix_s = window.is_open(now_s) ? window.next_closing(now_s) : now_s;
    }
    if (config.idle_window_s > 0.0) {
      check_idle_action(config.idle_action);
      const std::scoped_lock lock(beat_mutex);
      idle.emplace(config.idle_window_s);
      utilization.emplace(config.device == "cuda", meter.running_s());
    }
    if (!config.budget_ledger.empty()) {
      // Earlier attempts of this run stand there themselves.
      const double billed_s =
          beginning_interval_s > 0.0 ? billed_seconds(meter.tariff().billing, beginning_interval_s) : 0.0;
      spent_before = beginning_amount + spend_of(meter.price(), size.gpus, billed_s).amount.value_or(0.0);
      TeamLedger ledger_of_team(config.budget_ledger, std::filesystem::absolute(run_dir.root()).string(),
                                attempt, config.currency);
      others = ledger_of_team.exchange(std::max(0.0, spent() - spent_before), unix_seconds());
      const std::scoped_lock lock(beat_mutex);
      team.emplace(std::move(ledger_of_team));
    }
    // What the launch has taken since is not the user's mistake: must_stop() sees to that.
    if (budget) check_not_spent(config, config.budget_ledger.empty() ? beginning_amount : others.load());
    half_told = budget && budget->is_half_spent(counted());
    mark_s = meter.running_s();
  }

  double spent() const { return meter.spend().amount.value_or(0.0); }
  // What others have spent of the budget; it counts this run's earlier attempts, as spent() does.
  double others_share() const { return config.budget_ledger.empty() ? 0.0 : others - spent_before; }
  double counted() const { return spent() + others_share(); }

  // By the ledger's thread, since no step may come.
  void watch_idle() {
    const std::scoped_lock lock(beat_mutex);
    if (!idle) return;
    const double now_s = meter.running_s();
    if (idle->sample(steps_done, utilization->read(now_s), now_s))
      act_on_idle(config.idle_action, config.idle_window_s);
  }

  // By the ledger's thread. A team's file that cannot be used for a while must not end the run.
  void share_with_team() {
    const std::scoped_lock lock(beat_mutex);
    if (!team) return;
    try {
      others = team->exchange(std::max(0.0, spent() - spent_before), unix_seconds());
    } catch (const DataError& error) {
      if (!std::exchange(team_warned, true))
        tellers.warn_later(std::string(error.what()) + "; the budget counts what was known before");
    }
  }

  double leaving_s() const {
    const double expected_s = known_leaving_s > 0.0
                                  ? kLeavingMargin * std::min(known_leaving_s, kLongestLeaving_s)
                                  : kLeavingShare * std::min(started_s, kLongestStart_s);
    return projection.slowdown() * std::max(kLeastLeaving_s, expected_s);
  }

  bool ends_epoch(std::int64_t step) const { return step % size.steps_per_epoch == 0; }

  // Saves between the epochs' ends; with minutes by the time that is left.
  std::int64_t saves_between(std::int64_t step) const {
    const auto interval = parse_checkpoint_interval(config.checkpoint_interval);
    if (!interval) return 0;
    if (interval->kind == CheckpointInterval::Kind::kSteps)
      return size.total_steps / interval->steps - step / interval->steps;
    if (interval->kind == CheckpointInterval::Kind::kMinutes) {
      const double left_s = static_cast<double>(size.total_steps - step) * projection.step_s().value_or(0.0);
      return static_cast<std::int64_t>(left_s / (interval->minutes * 60.0));
    }
    return 0;
  }

  RemainingWork remaining(std::int64_t step) const {
    RemainingWork work;
    work.steps = std::max<std::int64_t>(0, size.total_steps - step);
    const std::int64_t epochs =
        ceil_div(size.total_steps, size.steps_per_epoch) - step / size.steps_per_epoch;
    work.evaluations = work.steps > 0 ? epochs : 0;
    work.saves = work.evaluations + std::max<std::int64_t>(0, saves_between(step));
    return work;
  }

  // Once a few steps have been measured, and whenever more are known: will it cost too much?
  void hold_against_budget(std::int64_t step) {
    const std::int64_t measured = projection.measured_steps();
    if (!budget || over_told || measured < kLeastProbeSteps || step >= size.total_steps) return;
    const RemainingWork work = remaining(step);
    const bool probes = measured < kProbeSteps;
    if (probes &&
        (config.yes || !budget->crosses_mark(meter, *projection.least_remaining_s(work), others_share())))
      return;
    const double remaining_s = *projection.remaining_s(work) + leaving_s();
    if (!budget->crosses_mark(meter, remaining_s, others_share())) return;
    over_told = true;
    const double projected = meter.spend_after(remaining_s).amount.value_or(0.0) + others_share();
    projected_text =
        "the run will cost " + format_money(projected, budget->currency()) + ", above " + budget->describe();
    if (measured <= kProbeSteps && !config.yes) {
      refused_after = step;
      refused = true;
    } else {
      tellers.warn(projected_text + "; it will save and stop at the mark");
    }
  }

  TrainConfig config;
  RunSize size;
  Tellers tellers;
  int attempt;
  std::int64_t reached_step;
  CostMeter meter;
  PartMeter parts;
  double beginning_amount;      // of earlier attempts
  double beginning_interval_s;  // of the billed interval that goes on
  double known_leaving_s;       // of earlier attempts; 0: not known
  std::mutex beat_mutex;        // of what the ledger's thread uses
  std::optional<IdleWatch> idle;
  std::optional<Utilization> utilization;
  std::atomic<std::int64_t> steps_done = 0;  // in this attempt
  std::optional<TeamLedger> team;            // --budget-ledger
  double spent_before = 0.0;
  std::atomic<double> others = 0.0;
  bool team_warned = false;
  LedgerWriter ledger;  // its thread uses what is above
  Projection projection;
  std::optional<Budget> budget;
  std::optional<RanksAdvisor> advisor;
  double closes_unix_s = std::numeric_limits<double>::infinity();  // --off-peak
  double mark_s = 0.0;  // of the running time: up to here the projection knows it
  RunPart doing = RunPart::kStartUp;
  double last_step_s = 0.0;
  double started_s = 0.0;  // until the first step was done
  bool half_told = false;
  bool over_told = false;
  bool refused = false;
  std::int64_t refused_after = 0;  // step
  std::string projected_text;
};

RunBill::RunBill(const RunDir& run_dir, const TrainConfig& config, const RunSize& size, Tellers tellers) {
  Tariff tariff = tariff_of(config);
  check_price(tariff.price);
  Beginning beginning = begin(run_dir, tariff, size.gpus);
  const std::string remark = beginning.remark;
  const std::string described = describe(tariff);
  state_ = std::make_unique<State>(run_dir, config, size, std::move(tariff), std::move(beginning),
                                   std::move(tellers));
  if (!remark.empty()) state_->tellers.say(remark);
  if (!described.empty() && state_->meter.tariff().source != kOwnPrice)
    state_->tellers.say("price: " + described);
}

RunBill::~RunBill() = default;

int RunBill::attempt() const {
  return state_->attempt;
}
const Tariff& RunBill::tariff() const {
  return state_->meter.tariff();
}
double RunBill::running_s() const {
  return state_->meter.running_s();
}
RunPartTimes RunBill::parts() const {
  return state_->parts.times(state_->meter.running_s());
}

void RunBill::enter(RunPart part) {
  State& state = *state_;
  const double now_s = state.meter.running_s();
  if (state.doing == RunPart::kEvaluation) state.projection.evaluated(now_s - state.mark_s);
  if (state.doing == RunPart::kCheckpoint) state.projection.saved(now_s - state.mark_s);
  state.parts.enter(part, now_s);
  state.doing = part;
  state.mark_s = now_s;
}

bool RunBill::stepped(std::int64_t step, const StepTimes& times) {
  State& state = *state_;
  const double now_s = state.meter.running_s();
  const bool is_rework = step <= state.reached_step;
  state.parts.stepped(static_cast<double>(times.total_ns()) * 1e-9,
                      times.mean_part_s(StepPart::kExposedCommunication), times.mean_part_s(StepPart::kData),
                      is_rework, now_s);
  if (state.doing == RunPart::kStartUp) state.started_s = now_s;
  state.last_step_s = now_s - state.mark_s;
  state.projection.stepped(state.last_step_s);
  // The forward pass of a sample costs the same in an evaluation.
  state.projection.expect_evaluation(times.mean_part_s(StepPart::kForward) *
                                     static_cast<double>(state.size.test_samples) /
                                     static_cast<double>(state.size.samples_per_step));
  state.mark_s = now_s;
  state.doing = RunPart::kIdle;
  state.steps_done.fetch_add(1, std::memory_order_relaxed);
  state.ledger.set_step(std::max(step, state.reached_step));
  if (state.budget && !state.half_told && state.budget->is_half_spent(state.counted())) {
    state.half_told = true;
    state.tellers.warn(format_money(state.counted(), state.budget->currency()) + " are spent: half of " +
                       state.budget->describe());
  }
  state.hold_against_budget(step);
  return is_rework;
}

void RunBill::wrote(double seconds) {
  state_->projection.wrote(seconds);
}

// The next chance to stop comes after the next step; until then this step ends, what follows it is done, and
// so is the next step; then the run has to be saved.
bool RunBill::must_stop(std::int64_t step) const {
  const State& state = *state_;
  if (!state.budget) return false;
  if (state.refused) return true;
  const Projection& projection = state.projection;
  const double step_s = std::max(projection.step_s().value_or(0.0), state.last_step_s);
  double more_s = step_s + projection.last_save_s() + state.leaving_s();
  if (step >= state.size.total_steps) {
    more_s += projection.evaluation_s();
  } else {
    more_s += step_s;
    more_s += projection.save_s();  // one may be due in between
    if (state.ends_epoch(step)) more_s += projection.evaluation_s();
  }
  return state.budget->crosses_mark(state.meter, more_s, state.others_share());
}

void RunBill::observe_loss(std::int64_t step, double loss) {
  if (state_->advisor) state_->advisor->observe(step, loss);
}
int RunBill::fewer_ranks() const {
  return state_->advisor ? state_->advisor->ranks() : 0;
}
std::string RunBill::fewer_ranks_condition() const {
  return state_->advisor ? state_->advisor->condition() : "";
}

bool RunBill::is_off_peak_over() const {
  return unix_seconds() >= state_->closes_unix_s;
}

bool RunBill::is_at_mark() const {
  const State& state = *state_;
  return state.budget &&
         state.budget->crosses_mark(state.meter, state.projection.last_save_s() + state.leaving_s(),
                                    state.others_share());
}

std::string RunBill::stop_message() const {
  const State& state = *state_;
  if (!state.budget) return {};
  if (state.refused)
    return state.projected_text + "; it is saved and stopped after step " +
           std::to_string(state.refused_after) + ", which has cost " +
           format_money(state.spent(), state.budget->currency()) +
           "; raise --budget, or go on up to the mark with --yes";
  return "stopped at " + format_money(state.counted(), state.budget->currency()) + " of " +
         state.budget->describe() + "; it is saved; raise --budget to go on";
}

std::string RunBill::stop_reason() const {
  return state_->refused ? "projection" : "budget";
}

Costs RunBill::costs(std::int64_t step, double epochs, std::int64_t samples_seen) const {
  const State& state = *state_;
  Costs costs;
  costs.spend = state.meter.spend();
  if (const auto amount = costs.spend.amount) {
    if (epochs > 0.0) costs.per_epoch = *amount / epochs;
    costs.counts_tokens = state.size.tokens_per_sample > 0;
    const double counted = static_cast<double>(samples_seen) *
                           static_cast<double>(std::max<std::int64_t>(1, state.size.tokens_per_sample));
    if (counted > 0.0) costs.per_million = *amount / counted * 1e6;
    if (state.budget) costs.budget_share = state.budget->share(*amount + state.others_share());
  }
  costs.remaining_s = state.projection.remaining_s(state.remaining(step));
  if (costs.remaining_s) costs.to_finish = state.meter.to_finish(*costs.remaining_s);
  return costs;
}

void RunBill::close(const std::string& reason) {
  state_->ledger.close(reason, reason == kFewerRanks ? fewer_ranks() : 0);
}

}  // namespace lockstep

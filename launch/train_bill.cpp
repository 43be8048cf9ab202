#include "launch/train_bill.h"

#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include "launch/job_signals.h"
#include "launch/rank_job.h"
#include "sampler/data_error.h"
#include "trainer/bill/budget_gate.h"
#include "trainer/cost/launch_moment.h"
#include "trainer/cost/ledger.h"
#include "trainer/cost/ledger_writer.h"
#include "trainer/cost/off_peak.h"
#include "trainer/run_dir/run_dir.h"

namespace lockstep {
namespace {

void say(const std::string& line) {
  std::cerr << "lockstep: " << line << std::endl;
}

// Only on a terminal, where somebody can answer.
bool user_says_yes() {
  if (isatty(STDIN_FILENO) == 0 || isatty(STDERR_FILENO) == 0) return false;
  std::cerr << "lockstep: go on up to the mark? [y/N] " << std::flush;
  std::string answer;
  return std::getline(std::cin, answer) && (answer == "y" || answer == "Y" || answer == "yes");
}

void close_bill(const std::filesystem::path& ledger, const LaunchMoment& launch) {
  try {
    extend_last_attempt(ledger, launch.to_text(), seconds_since(launch));
  } catch (const DataError& error) {
    say(std::string("warning: ") + error.what() + "; the ledger lacks the run's last moments");
  }
}

// None where it cannot be read: whoever reads it next says what is wrong with it.
std::vector<LedgerRecord> records_in(const std::filesystem::path& ledger) {
  try {
    return read_ledger(ledger);
  } catch (const DataError&) {
    return {};
  }
}

// Why the last attempt ended; empty where the ledger does not say.
std::string last_reason(const std::filesystem::path& ledger) {
  const auto records = records_in(ledger);
  return records.empty() ? "" : records.back().reason;
}

// How many ranks an earlier attempt has found enough; 0: nobody has.
int most_ranks(const TrainConfig& config, const std::filesystem::path& ledger, int all) {
  if (config.adaptive_ranks.empty() || config.fresh) return 0;
  const int ranks = decided_ranks(records_in(ledger));
  if (ranks == 0 || ranks >= all) return 0;
  say("goes on with " + std::to_string(ranks) + (ranks == 1 ? " rank" : " ranks") + ", not " +
      std::to_string(all) + ", as --adaptive-ranks has it");
  return ranks;
}

// Nothing runs, and nothing is billed, until the window opens. False if a signal came.
bool wait_for_off_peak(const std::string& text) {
  if (text.empty()) return true;
  const OffPeakWindow window(text);
  const JobSignals signals;  // before anybody is told that one ends the wait
  const double opens_s = window.next_opening(unix_seconds());
  if (opens_s > unix_seconds())
    say("waits until " + window.to_local(opens_s) + " (--off-peak " + text + "); Ctrl-C ends the wait");
  // By the wall clock, which may be set: never long without looking at it.
  constexpr std::chrono::seconds kLongest(20);
  while (!window.is_open(unix_seconds())) {
    signals.wait(kLongest);
    if (signals.next()) {
      say("paused while it waited for off-peak hours: run the same command again to go on");
      return false;
    }
  }
  return true;
}

}  // namespace

int run_within_bill(const BilledJob& billed) {
  TrainConfig config = billed.config;
  const std::filesystem::path ledger = RunDir(billed.run_dir).ledger_file();
  for (bool again = false;; again = true) {
    config.fresh = config.fresh && !again;
    const int most = most_ranks(config, ledger, billed.gpus);
    if (const auto refusal = refuse_to_start(config, billed.run_dir, most > 0 ? most : billed.gpus)) {
      say(refusal->reason);
      if (!refusal->may_go_on || !user_says_yes()) return static_cast<int>(ExitCode::kBudget);
      config.yes = true;
    }
    if (!wait_for_off_peak(config.off_peak)) return static_cast<int>(ExitCode::kPaused);
    const LaunchMoment launch = launch_moment(monotonic_ns());
    setenv("LOCKSTEP_LAUNCH", launch.to_text().c_str(), 1);
    const int code = billed.job({config.yes, again, most});
    close_bill(ledger, launch);
    const std::string reason = last_reason(ledger);
    const bool goes_on = reason == "off_peak" || (reason == kFewerRanks && !config.adaptive_ranks.empty());
    if (code == static_cast<int>(ExitCode::kPaused) && goes_on) continue;
    const bool may_go_on = code == static_cast<int>(ExitCode::kBudget) && !config.yes;
    if (!may_go_on || reason != "projection" || !user_says_yes()) return code;
    config.yes = true;
  }
}

}  // namespace lockstep

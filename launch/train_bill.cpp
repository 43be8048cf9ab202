#include "launch/train_bill.h"

#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <string>

#include "launch/rank_job.h"
#include "sampler/data_error.h"
#include "trainer/bill/budget_gate.h"
#include "trainer/cost/launch_moment.h"
#include "trainer/cost/ledger.h"
#include "trainer/cost/ledger_writer.h"
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

// Whether the run stopped by itself because it would have cost too much, before it had done much.
bool stopped_for_projection(const std::filesystem::path& ledger) {
  try {
    const auto records = read_ledger(ledger);
    return !records.empty() && records.back().reason == "projection";
  } catch (const DataError&) {
    return false;  // whoever reads it next says what is wrong with it
  }
}

}  // namespace

int run_within_bill(const BilledJob& billed) {
  bool yes = billed.config.yes;
  if (const auto refusal = refuse_to_start(billed.config, billed.run_dir, billed.gpus)) {
    say(refusal->reason);
    if (!refusal->may_go_on || !user_says_yes()) return static_cast<int>(ExitCode::kBudget);
    yes = true;
  }
  const std::filesystem::path ledger = RunDir(billed.run_dir).ledger_file();
  for (bool again = false;; again = true) {
    const LaunchMoment launch = launch_moment(monotonic_ns());
    setenv("LOCKSTEP_LAUNCH", launch.to_text().c_str(), 1);
    const int code = billed.job(yes, again);
    close_bill(ledger, launch);
    const bool may_go_on = code == static_cast<int>(ExitCode::kBudget) && !yes;
    if (!may_go_on || !stopped_for_projection(ledger) || !user_says_yes()) return code;
    yes = true;
  }
}

}  // namespace lockstep

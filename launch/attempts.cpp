#include "launch/attempts.h"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <optional>
#include <stdexcept>

#include "launch/exit_folder.h"
#include "launch/hostfile.h"
#include "launch/job_signals.h"
#include "launch/restart_policy.h"
#include "launch/slots.h"
#include "launch/supervisor.h"
#include "trainer/run_dir/atomic_file.h"
#include "trainer/run_dir/restart_note.h"
#include "trainer/run_dir/run_dir.h"

namespace lockstep {
namespace {

namespace fs = std::filesystem;
using Say = std::function<void(const std::string&)>;

struct AttemptEnd {
  Outcome outcome;
  std::int64_t step = -1;  // the furthest that a rank was seen at
  bool forced = false;
  bool asked_to_pause = false;
};

AttemptEnd run_attempt(const JobPlan& plan, const RankJob& job, const Say& say, const JobSignals& signals) {
  const JobStatus ended = run_job({build_job_command(plan, current_environment()), plan.mpirun.empty(),
                                   plan.world_size(), plan.exit_dir, say, job.on_first_signal},
                                  signals);
  JobEnd end;
  end.world_size = plan.world_size();
  end.reports = read_exit_reports(plan.exit_dir);
  end.ends = read_rank_ends(plan.exit_dir);
  end.starts = count_rank_starts(plan.exit_dir);
  end.status = ended.status;
  end.forced = ended.forced;
  AttemptEnd attempt{judge(end), -1, ended.forced, ended.asked_to_pause};
  for (const RankEnd& rank : end.ends) attempt.step = std::max(attempt.step, rank.step);
  return attempt;
}

std::int64_t newest_checkpoint(const RankJob& job) {
  const auto steps = RunDir(job.run_dir).checkpoint_steps();
  return steps.empty() ? -1 : steps.front();
}

// Waits; false if a signal came before the time was up.
bool wait_undisturbed(double delay_s, const JobSignals& signals) {
  using Clock = std::chrono::steady_clock;
  const auto until =
      Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(delay_s));
  while (Clock::now() < until) {
    signals.wait(std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now()));
    while (const auto signal = signals.next()) {
      if (*signal != SIGCHLD) return false;
    }
  }
  return true;
}

// What the wall clock said then, on the monotonic clock of now. Other machines' clocks may be wrong, so it
// lies between the attempt's start and now.
std::int64_t to_monotonic_ns(std::int64_t unix_ns, std::int64_t started_ns) {
  const auto since_epoch = std::chrono::system_clock::now().time_since_epoch();
  const std::int64_t ago =
      std::chrono::duration_cast<std::chrono::nanoseconds>(since_epoch).count() - unix_ns;
  const std::int64_t now = monotonic_ns();
  return unix_ns == 0 ? now : std::clamp(now - ago, started_ns, now);
}

std::string from_where(std::int64_t checkpoint) {
  return checkpoint < 0 ? "from the beginning: there is no checkpoint yet"
                        : "from the checkpoint of step " + std::to_string(checkpoint);
}

Outcome paused_between(const AttemptEnd& failed) {
  return {ExitCode::kPaused,
          "paused before a restart (" + failed.outcome.message + "): run the same command again to go on"};
}

// --fresh sets the old run aside once. An attempt that failed before it came to that has to do it still.
class FreshStart {
 public:
  explicit FreshStart(const RankJob& job)
      : asked_(job.fresh),
        dir_(job.run_dir),
        kept_before_(dir_.newest_previous()),
        something_there_(dir_.holds_a_run()) {}

  // For the next attempt.
  bool is_due() const { return asked_ && something_there_ && dir_.newest_previous() == kept_before_; }

 private:
  const bool asked_;
  const RunDir dir_;
  const std::int64_t kept_before_;
  const bool something_there_;
};

void leave_out_fresh(std::vector<std::string>& arguments) {
  std::erase_if(arguments, [](const std::string& argument) { return argument.starts_with("--fresh="); });
}

SlotLimits slot_limits(const JobPlan& plan, const RankJob& job) {
  return {.nproc_per_node = plan.nproc_per_node,
          .nnodes = plan.nnodes,
          .hosts = plan.hostfile.empty() ? plan.nnodes : count_hosts(plan.hostfile),
          .min_nproc = job.launch.min_nproc,
          .most_ranks = job.most_ranks,
          .logical_world_size = job.logical_world_size > 0 ? job.logical_world_size : plan.world_size()};
}

// The ranks where `choice` has them. Machines that a batch system has allotted are not named by us.
void apply(const SlotChoice& choice, const std::string& hostfile, JobPlan& plan) {
  plan.nproc_per_node = choice.nproc_per_node;
  plan.nnodes = static_cast<int>(choice.hosts.size());
  if (hostfile.empty()) return;
  const fs::path file = plan.exit_dir / "hostfile";
  write_file_atomically(file, lines_of_hosts(hostfile, choice.hosts));
  plan.hostfile = file.string();
}

}  // namespace

Outcome run_attempts(const JobPlan& planned, const RankJob& job, const Say& say) {
  const JobSignals signals;  // before anything is made that a signal could leave behind
  const ExitFolder folder(job.run_dir);
  JobPlan plan = planned;
  const FreshStart fresh(job);
  // Of this run: an old one that is still to be set aside is no progress.
  const auto reached = [&] { return fresh.is_due() ? -1 : newest_checkpoint(job); };
  Slots slots(slot_limits(plan, job));
  RestartPolicy policy(job.restarts, reached());
  for (int number = 1;; ++number) {
    plan.exit_dir = folder.attempt(number);
    if (job.launch.min_nproc > 0 || job.most_ranks > 0) apply(slots.choice(), planned.hostfile, plan);
    if (number > 1 && !fresh.is_due()) leave_out_fresh(plan.rank_command);
    const std::int64_t started_ns = monotonic_ns();
    AttemptEnd ended = run_attempt(plan, job, say, signals);
    Outcome& outcome = ended.outcome;
    if (outcome.code != ExitCode::kPeerFailed || ended.forced || ended.asked_to_pause) return outcome;
    const std::int64_t checkpoint = reached();
    const FailedAttempt failed{checkpoint, ended.step};
    std::optional<std::string> change;
    try {
      change = slots.failed(outcome.rank, policy.is_progress(failed));
    } catch (const std::runtime_error& too_few) {
      outcome.message += std::string("; gives up: ") + too_few.what();
      return outcome;
    }
    const RestartVerdict verdict = policy.after(failed, change.has_value());
    if (!verdict.restart) {
      if (!verdict.text.empty()) outcome.message += "; " + verdict.text;
      return outcome;
    }
    say(outcome.message);
    if (change) say(*change);
    say(verdict.text + ", " + from_where(checkpoint));
    if (!wait_undisturbed(verdict.delay_s, signals)) return paused_between(ended);
    write_restart_note(folder.attempt(number + 1),
                       {outcome.message, to_monotonic_ns(outcome.failed_at_ns, started_ns),
                        std::max<std::int64_t>(0, ended.step)});
  }
}

}  // namespace lockstep

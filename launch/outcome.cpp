#include "launch/outcome.h"

#include <algorithm>
#include <array>
#include <csignal>
#include <cstring>
#include <ctime>
#include <initializer_list>
#include <optional>

namespace lockstep {
namespace {

bool has_report(const JobEnd& job, int rank) {
  return std::any_of(job.reports.begin(), job.reports.end(),
                     [&](const auto& report) { return report.rank == rank; });
}

const ExitReport* find_report(const JobEnd& job, std::initializer_list<ExitCode> codes) {
  const auto found = std::find_if(job.reports.begin(), job.reports.end(), [&](const ExitReport& report) {
    return std::find(codes.begin(), codes.end(), report.code) != codes.end();
  });
  return found == job.reports.end() ? nullptr : &*found;
}

// Names the rank unless it is rank 0, which speaks for all, or all say the same.
std::string line_of(const JobEnd& job, const ExitReport& report) {
  const bool all_say_so = job.reports.size() > 1 &&
                          std::all_of(job.reports.begin(), job.reports.end(), [&](const ExitReport& other) {
                            return other.message == report.message;
                          });
  return report.rank == 0 || report.message.empty() || all_say_so
             ? report.message
             : "rank " + std::to_string(report.rank) + ": " + report.message;
}

// The first rank that a signal ended. SIGTERM is what mpirun ends the others with, so it is a cause only
// where there is no better one, and asked for apart.
const RankEnd* find_killed(const JobEnd& job, bool by_term) {
  const auto found = std::find_if(job.ends.begin(), job.ends.end(), [&](const RankEnd& end) {
    return end.signal != 0 && (end.signal == SIGTERM && end.cause.empty()) == by_term;
  });
  return found == job.ends.end() ? nullptr : &*found;
}

// One that stood still: mpirun ended it, and perhaps others before it, once its peers had given up.
const RankEnd* find_still(const JobEnd& job) {
  const auto found =
      std::find_if(job.ends.begin(), job.ends.end(), [](const RankEnd& end) { return !end.cause.empty(); });
  return found == job.ends.end() ? nullptr : &*found;
}

// " at 14:03:59", of the wall clock.
std::string describe_time(std::int64_t unix_ns) {
  constexpr std::int64_t kNsPerS = 1'000'000'000;
  const std::time_t seconds = unix_ns / kNsPerS;
  std::tm parts{};
  std::array<char, 16> text{};
  if (unix_ns == 0 || localtime_r(&seconds, &parts) == nullptr ||
      std::strftime(text.data(), text.size(), "%H:%M:%S", &parts) == 0) {
    return "";
  }
  return std::string(" at ") + text.data();
}

std::string describe_killed(const RankEnd& end) {
  const std::string how = end.cause.empty() ? "was ended by " + describe_signal(end.signal) : end.cause;
  return "rank " + std::to_string(end.rank) + " " + how + describe_time(end.ended_at_ns) +
         (end.where.empty() ? "" : ", " + end.where);
}

const RankEnd* find_silent(const JobEnd& job) {
  const auto found = std::find_if(job.ends.begin(), job.ends.end(), [&](const RankEnd& end) {
    return end.signal == 0 && !has_report(job, end.rank);
  });
  return found == job.ends.end() ? nullptr : &*found;
}

// A rank that cannot write its report says what there is to say itself; its exit code then stands for the
// report.
JobEnd with_unwritten_reports(JobEnd job) {
  for (const RankEnd& end : job.ends) {
    const auto code = static_cast<ExitCode>(end.exit_code);
    const bool known = code == ExitCode::kUsage || code == ExitCode::kBadInput || code == ExitCode::kPaused ||
                       code == ExitCode::kPeerFailed || code == ExitCode::kBudget;
    if (end.signal == 0 && known && !has_report(job, end.rank)) {
      job.reports.push_back({end.rank, code, ""});
    }
  }
  std::sort(job.reports.begin(), job.reports.end(),
            [](const auto& a, const auto& b) { return a.rank < b.rank; });
  return job;
}

Outcome failure_of(const RankEnd& end, const std::string& message) {
  return {ExitCode::kPeerFailed, message, end.rank, end.ended_at_ns};
}

std::int64_t ended_at(const JobEnd& job, int rank) {
  const auto end = std::find_if(job.ends.begin(), job.ends.end(),
                                [&](const RankEnd& other) { return other.rank == rank; });
  return end == job.ends.end() ? 0 : end->ended_at_ns;
}

std::optional<Outcome> judge_failure(const JobEnd& job) {
  const ExitReport* peer_failed = find_report(job, {ExitCode::kPeerFailed});
  const RankEnd* killed = find_still(job);
  if (killed == nullptr) {
    killed = find_killed(job, /*by_term=*/false);
  }
  if (killed != nullptr) {
    std::string line = describe_killed(*killed);
    if (peer_failed != nullptr && !peer_failed->message.empty()) {
      const std::string teller = "rank " + std::to_string(peer_failed->rank) + ": ";
      line += "; " + (peer_failed->message.starts_with(teller) ? "" : teller) + peer_failed->message;
    }
    return failure_of(*killed, line);
  }
  if (peer_failed != nullptr) {
    return Outcome{ExitCode::kPeerFailed, line_of(job, *peer_failed),
                   peer_failed->peer >= 0 ? peer_failed->peer : peer_failed->rank,
                   ended_at(job, peer_failed->rank)};
  }
  if (const RankEnd* silent = find_silent(job)) {
    return failure_of(*silent, "rank " + std::to_string(silent->rank) + " left with code " +
                                   std::to_string(silent->exit_code) +
                                   " and no report; what it printed above may say why");
  }
  if (const RankEnd* ended = find_killed(job, /*by_term=*/true)) {
    return failure_of(*ended, describe_killed(*ended));
  }
  return std::nullopt;
}

Outcome judge_missing(const JobEnd& job) {
  // The status of a rank whose host does not see the folder comes through mpirun, and its message is on the
  // screen.
  for (const ExitCode code : {ExitCode::kUsage, ExitCode::kBadInput}) {
    if (job.status == static_cast<int>(code)) {
      return {code, ""};
    }
  }
  if (job.reports.empty() && job.ends.empty() && job.starts == 0) {
    return {ExitCode::kPeerFailed,
            "the ranks could not be started (mpirun ended with " + std::to_string(job.status) +
                "); ssh must reach every host without a password, and find Lockstep at the same place there"};
  }
  int missing = 0;
  while (has_report(job, missing)) {
    ++missing;
  }
  return {ExitCode::kPeerFailed,
          "rank " + std::to_string(missing) + " left no report (mpirun ended with " +
              std::to_string(job.status) + "); it was killed, or its host was lost",
          missing};
}

}  // namespace

std::string describe_signal(int signal) {
  const char* name = sigabbrev_np(signal);
  std::string text = "signal " + std::to_string(signal);
  if (name != nullptr) {
    text += " (SIG" + std::string(name) + (signal == SIGKILL ? ": by hand, or because memory ran out)" : ")");
  }
  return text;
}

Outcome judge(const JobEnd& seen) {
  const JobEnd job = with_unwritten_reports(seen);
  if (const ExitReport* bad = find_report(job, {ExitCode::kUsage, ExitCode::kBadInput})) {
    return {bad->code, line_of(job, *bad)};
  }
  const bool all_reported = job.reports.size() == static_cast<std::size_t>(job.world_size);
  const std::optional<Outcome> failure = judge_failure(job);
  if (job.forced && (failure || !all_reported)) {
    return {
        ExitCode::kPeerFailed,
        "stopped by a second signal before all ranks had saved; the last complete checkpoint is untouched"};
  }
  if (failure) {
    return *failure;
  }
  if (!all_reported && (job.reports.empty() || job.status != 0)) {
    return judge_missing(job);
  }
  for (const ExitCode code : {ExitCode::kBudget, ExitCode::kPaused, ExitCode::kDifference}) {
    if (const ExitReport* agreed = find_report(job, {code})) {
      return {code, line_of(job, *agreed)};
    }
  }
  return {};
}

}  // namespace lockstep

#include "launch/doctor/host_check.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <functional>
#include <future>
#include <limits>
#include <memory>
#include <sstream>

#include "launch/doctor/child_program.h"
#include "launch/program_path.h"
#include "sampler/data_error.h"

namespace lockstep {
namespace {

using Clock = ChildProgram::Clock;

// One host's agent, and what it has said.
class Conversation {
 public:
  Conversation(const std::string& host, const JobCommand& command)
      : agent_(command.arguments, command.environment) {
    result_.host = host;
  }

  HostResult& result() { return result_; }

  void hear_report(Clock::time_point deadline) {
    const auto line = next_line(deadline);
    if (line) {
      result_.report = read_report(*line);
      result_.report.reachable.host = result_.host;
      return;
    }
    const std::string reason = reason_in(agent_.error_text());
    const bool late = Clock::now() >= deadline;
    result_.problem = !reason.empty() ? reason
                      : late          ? "no answer within --timeout"
                                      : "it ended without a word";
  }

  // The shortest of a few ways there and back is the one that says most.
  void compare_clocks(Clock::time_point deadline) {
    constexpr int kTries = 5;
    result_.clock_uncertainty_s = std::numeric_limits<double>::infinity();
    for (int i = 0; i < kTries; ++i) {
      const double before = time_unix_s();
      if (!agent_.write_line(time_request())) return;
      const auto line = next_line(deadline);
      const double after = time_unix_s();
      if (!line) return;
      if ((after - before) / 2 >= result_.clock_uncertainty_s) continue;
      result_.clock_uncertainty_s = (after - before) / 2;
      result_.clock_ahead_s = read_time(*line) - (before + after) / 2;
    }
  }

  void have_it_try(const std::vector<Reachable>& others, Clock::time_point deadline) {
    if (others.empty() || !agent_.write_line(to_line(others))) return;
    if (const auto line = next_line(deadline)) {
      result_.trials = read_trials(*line);
      result_.answered_trials = true;
    }
  }

 private:
  std::optional<std::string> next_line(Clock::time_point deadline) {
    while (auto line = agent_.read_line(deadline)) {
      if (is_agent_line(*line)) return line;
    }
    return std::nullopt;
  }

  ChildProgram agent_;
  HostResult result_;
};

// All conversations at once; what goes wrong in one is that host's problem.
void with_each(std::vector<std::unique_ptr<Conversation>>& all,
               const std::function<void(Conversation&)>& talk) {
  std::vector<std::future<void>> talks;
  for (auto& conversation : all) {
    if (!conversation->result().problem.empty()) continue;
    talks.push_back(std::async(std::launch::async, [&talk, one = conversation.get()] {
      try {
        talk(*one);
      } catch (const DataError& error) {
        one->result().problem = error.what();
      }
    }));
  }
  for (auto& one : talks) one.get();
}

std::string text_of(double seconds) {
  std::array<char, 32> text{};
  if (std::abs(seconds) < 1)
    std::snprintf(text.data(), text.size(), "%.1f ms", seconds * 1e3);
  else
    std::snprintf(text.data(), text.size(), "%.1f s", seconds);
  return text.data();
}

Finding judge_clock(const HostResult& result) {
  constexpr const char* kTopic = "clock";
  constexpr double kMost = 1.0;  // logs, notices and bills of several hosts are read side by side
  if (!std::isfinite(result.clock_uncertainty_s))
    return warning(kTopic, "it did not say what time it is",
                   "run lockstep doctor again, with a longer --timeout");
  const double ahead = result.clock_ahead_s;
  const std::string text = text_of(std::abs(ahead)) + (ahead < 0 ? " behind" : " ahead of") +
                           " this machine's, give or take " + text_of(result.clock_uncertainty_s);
  if (std::abs(ahead) - result.clock_uncertainty_s > kMost)
    return warning(kTopic, text, "have chrony or systemd-timesyncd set it on every host");
  return ok(kTopic, text);
}

std::string join(const std::vector<int>& numbers) {
  std::string text;
  for (const int number : numbers) text += (text.empty() ? "" : ", ") + std::to_string(number);
  return text;
}

const PortTrial* trial_of(const HostResult& result, const std::string& host) {
  const auto found = std::find_if(result.trials.begin(), result.trials.end(),
                                  [&](const PortTrial& trial) { return trial.host == host; });
  return found == result.trials.end() ? nullptr : &*found;
}

void judge_ports(const HostResult& result, const std::vector<HostResult>& all, Findings& findings) {
  constexpr const char* kTopic = "ports";
  const std::string remedy =
      "ranks meet and NCCL talks on any TCP port: let the hosts' firewalls and security groups pass all of "
      "them between "
      "the hosts";
  const auto others = std::count_if(all.begin(), all.end(), [&](const HostResult& other) {
    return other.problem.empty() && other.host != result.host;
  });
  if (others == 0) return;
  if (!result.answered_trials) {
    findings.push_back(failure(kTopic, "it did not say which hosts it reaches",
                               "run lockstep doctor again, with a longer --timeout"));
    return;
  }
  int reached = 0;
  double slowest = 0;
  for (const PortTrial& trial : result.trials) {
    if (trial.address.empty()) {
      findings.push_back(failure(
          kTopic, "does not reach " + trial.host + " on any of its addresses, ports " + join(trial.closed),
          remedy + "; where they have several networks, LOCKSTEP_SOCKET_IFNAME and NCCL_SOCKET_IFNAME "
                   "say which"));
    } else if (!trial.closed.empty()) {
      findings.push_back(failure(
          kTopic,
          "reaches " + trial.host + " at " + trial.address + ", but not its ports " + join(trial.closed),
          remedy));
    } else {
      ++reached;
      slowest = std::max(slowest, trial.connect_time_s);
    }
    const auto there =
        std::find_if(all.begin(), all.end(), [&](const HostResult& one) { return one.host == trial.host; });
    const PortTrial* back = there == all.end() ? nullptr : trial_of(*there, result.host);
    if (back != nullptr && trial.mtu > 0 && back->mtu > 0 && trial.mtu != back->mtu &&
        result.host < trial.host) {
      findings.push_back(warning("mtu",
                                 std::to_string(trial.mtu) + " on the way to " + trial.host + ", and " +
                                     std::to_string(back->mtu) + " on the way back",
                                 "set the same on both: ip link set IFACE mtu N"));
    }
  }
  if (reached > 0) {
    findings.push_back(ok(kTopic, "reaches " + std::to_string(reached) + " of " + std::to_string(others) +
                                      " other hosts on all ports tried, in " + text_of(slowest) +
                                      " at most"));
  }
}

void judge_versions(const HostResult& result, const HostReport& first, const std::string& first_host,
                    Findings& findings) {
  constexpr const char* kTopic = "versions";
  const HostReport& report = result.report;
  const auto differs = [&](const std::string& what, const std::string& here, const std::string& there) {
    return what + " " + (here.empty() ? "none" : here) + ", and " + (there.empty() ? "none" : there) +
           " on " + first_host;
  };
  if (report.version != first.version)
    findings.push_back(
        failure(kTopic, differs("lockstep", report.version, first.version), "install the same everywhere"));
  if (report.nccl != first.nccl)
    findings.push_back(failure(kTopic,
                               differs("NCCL", std::to_string(report.nccl), std::to_string(first.nccl)),
                               "install the same torch wheel everywhere"));
  if (report.driver != first.driver)
    findings.push_back(
        warning(kTopic, differs("driver", report.driver, first.driver), "install the same everywhere"));
}

}  // namespace

std::string reason_in(const std::string& error_text) {
  constexpr std::size_t kLongest = 200;
  std::istringstream lines(error_text);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t begin = line.find_first_not_of(" \t\r");
    if (begin == std::string::npos || line.find_first_not_of("-*= \r") == std::string::npos) continue;
    if (line.find("Permanently added") != std::string::npos) continue;  // ssh's greeting of a new host
    line = line.substr(begin, kLongest);
    for (char& c : line) {
      if (static_cast<unsigned char>(c) < ' ') c = ' ';
    }
    line.erase(line.find_last_not_of(' ') + 1);
    return line;
  }
  return {};
}

std::vector<HostResult> ask_hosts(const std::vector<std::string>& hosts, const std::filesystem::path& mpirun,
                                  std::chrono::milliseconds timeout) {
  const auto deadline = Clock::now() + timeout;
  const int connect_timeout_s = std::max(1, static_cast<int>(timeout.count() / 2000));
  const Environment environment = current_environment();
  std::vector<std::unique_ptr<Conversation>> all;
  for (const std::string& host : hosts) {
    all.push_back(std::make_unique<Conversation>(
        host, build_host_command(mpirun, host, {own_program().string(), "doctor-agent"}, geteuid() == 0,
                                 connect_timeout_s, environment)));
  }
  with_each(all, [&](Conversation& one) { one.hear_report(deadline); });
  with_each(all, [&](Conversation& one) { one.compare_clocks(deadline); });
  std::vector<Reachable> reachable;
  for (auto& one : all) {
    if (one->result().problem.empty()) reachable.push_back(one->result().report.reachable);
  }
  with_each(all, [&](Conversation& one) {
    std::vector<Reachable> others;
    std::copy_if(reachable.begin(), reachable.end(), std::back_inserter(others),
                 [&](const Reachable& other) { return other.host != one.result().host; });
    one.have_it_try(others, deadline);
  });
  std::vector<HostResult> results;
  for (auto& one : all) results.push_back(one->result());
  // Those that are stuck take a moment to end, all at once.
  std::vector<std::future<void>> ends;
  for (auto& one : all) ends.push_back(std::async(std::launch::async, [&one] { one.reset(); }));
  return results;
}

std::vector<Section> judge_hosts(const std::vector<HostResult>& results) {
  const auto first = std::find_if(results.begin(), results.end(),
                                  [](const HostResult& result) { return result.problem.empty(); });
  std::vector<Section> sections;
  for (const HostResult& result : results) {
    Section section{result.host, result.report.findings};
    if (!result.problem.empty()) {
      section.findings = {
          failure("host", "lockstep cannot be started there: " + result.problem,
                  "ssh " + result.host +
                      " true has to work without a password, and lockstep to stand at the same "
                      "path there")};
    } else {
      judge_versions(result, first->report, first->host, section.findings);
      judge_ports(result, results, section.findings);
      section.findings.push_back(judge_clock(result));
    }
    sections.push_back(std::move(section));
  }
  return sections;
}

}  // namespace lockstep

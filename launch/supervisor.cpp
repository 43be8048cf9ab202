#include "launch/supervisor.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <fstream>
#include <optional>
#include <sstream>
#include <system_error>
#include <vector>

#include "launch/rank_end.h"

namespace lockstep {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kTick = std::chrono::milliseconds(50);
constexpr auto kForceGrace = std::chrono::seconds(5);
// Ranks on hosts that do not see the folder never show there: a pause is then passed on after this long.
constexpr auto kLongestStart = std::chrono::seconds(10);

[[noreturn]] void fail(int error, const std::string& what) {
  throw std::system_error(error, std::generic_category(), what);
}

std::vector<char*> to_pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) {
    pointers.push_back(text.data());
  }
  pointers.push_back(nullptr);
  return pointers;
}

// Between fork and exec: only calls that are safe there.
[[noreturn]] void become(char** argv, char** environment, const SupervisedJob& job, const sigset_t& mask,
                         pid_t parent, int error_pipe, int output) {
  setsid();
  if (output >= 0) {
    dup2(output, STDOUT_FILENO);
    dup2(output, STDERR_FILENO);
  }
  prctl(PR_SET_PDEATHSIG, job.direct ? SIGKILL : SIGTERM);
  if (getppid() != parent) {  // it died before that took hold
    _exit(127);
  }
  const int nothing = open("/dev/null", O_RDONLY);
  if (nothing >= 0) {
    dup2(nothing, STDIN_FILENO);  // a session without a terminal must not read from one
    close(nothing);
  }
  sigprocmask(SIG_SETMASK, &mask, nullptr);
  execve(argv[0], argv, environment);
  const int error = errno;
  (void)!write(error_pipe, &error, sizeof(error));
  _exit(127);
}

pid_t start(const SupervisedJob& job, const sigset_t& mask) {
  std::vector<std::string> arguments = job.command.arguments;
  std::vector<std::string> variables;
  for (const auto& [name, value] : job.command.environment) {
    variables.push_back(name + "=" + value);
  }
  const std::vector<char*> argv = to_pointers(arguments);
  const std::vector<char*> environment = to_pointers(variables);
  std::array<int, 2> error_pipe{};
  if (pipe2(error_pipe.data(), O_CLOEXEC) != 0) {
    fail(errno, "pipe");
  }
  const int output =
      job.output.empty() ? -1 : open(job.output.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (!job.output.empty() && output < 0) {
    fail(errno, job.output.string());
  }
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child == 0) {
    become(const_cast<char**>(argv.data()), const_cast<char**>(environment.data()), job, mask, parent,
           error_pipe[1], output);
  }
  const int fork_error = errno;
  close(error_pipe[1]);
  if (output >= 0) {
    close(output);
  }
  int error = 0;
  const bool failed = child >= 0 && read(error_pipe[0], &error, sizeof(error)) == sizeof(error);
  close(error_pipe[0]);
  if (child < 0) {
    fail(fork_error, "a process cannot be started");
  }
  if (failed) {
    waitpid(child, nullptr, 0);
    fail(error, arguments[0] + " cannot be started");
  }
  return child;
}

// Living processes of a session, the leader apart.
std::vector<pid_t> members(pid_t session) {
  std::vector<pid_t> found;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
    const std::string name = entry.path().filename().string();
    if (name.find_first_not_of("0123456789") != std::string::npos) {
      continue;
    }
    std::ifstream file(entry.path() / "stat");
    std::string text;
    std::getline(file, text);
    const std::size_t name_end = text.rfind(')');
    if (name_end == std::string::npos) {
      continue;  // it has just ended
    }
    // "pid (name) state ppid pgrp session ...": the name may hold blanks and brackets.
    std::istringstream fields(text.substr(name_end + 1));
    char state = 0;
    long ppid = 0;
    long group = 0;
    long sid = 0;
    if (fields >> state >> ppid >> group >> sid && sid == session && state != 'Z' && state != 'X' &&
        name != std::to_string(session)) {
      found.push_back(static_cast<pid_t>(std::stol(name)));
    }
  }
  return found;
}

void kill_session(pid_t session, bool leader_too) {
  for (const pid_t process : members(session)) {
    kill(process, SIGKILL);
  }
  if (leader_too) {
    kill(session, SIGKILL);
  }
}

// The leader has ended but is not yet waited for, so its number, the session's, cannot have become another's.
void sweep(pid_t session) {
  constexpr auto kOwnPace = std::chrono::milliseconds(500);  // those that mpirun has just told to end
  constexpr auto kLongest = std::chrono::seconds(10);
  const auto begin = Clock::now();
  while (!members(session).empty() && Clock::now() - begin < kLongest) {
    if (Clock::now() - begin > kOwnPace) {
      kill_session(session, false);
    }
    poll(nullptr, 0, 10);
  }
}

class Supervision {
 public:
  Supervision(const SupervisedJob& job, pid_t leader) : job_(job), leader_(leader) {}

  bool forced() const { return requests_ > 1; }
  bool asked_to_pause() const { return requests_ > 0; }

  void on_signal(int signal) {
    if (signal == SIGCHLD || (signal == SIGHUP && requests_ > 0)) {
      return;  // a closing terminal sends more than one SIGHUP
    }
    ++requests_;
    if (requests_ == 1) {
      job_.say(job_.on_first_signal);
    } else if (requests_ == 2) {
      job_.say("stopping now");
      tell(SIGTERM);
      kill_at_ = Clock::now() + kForceGrace;
    } else {
      kill_at_ = Clock::now();
    }
  }

  // Does what is due; nothing to be said if nothing is pending.
  std::optional<std::chrono::milliseconds> on_tick() {
    const auto now = Clock::now();
    const bool started = now - begin_ > kLongestStart || count_rank_starts(job_.exit_dir) >= job_.world_size;
    if (requests_ > 0 && !told_ && started) {
      told_ = true;
      tell(SIGUSR1);
    }
    if (now >= kill_at_) {
      kill_session(leader_, true);
    }
    const bool pending = (requests_ > 0 && !told_) || kill_at_ != Clock::time_point::max();
    return pending ? std::optional(kTick) : std::nullopt;
  }

 private:
  // mpirun passes SIGUSR1 on to the ranks and ends them on SIGTERM.
  void tell(int signal) const { kill(job_.direct ? -leader_ : leader_, signal); }

  const SupervisedJob& job_;
  const pid_t leader_;
  const Clock::time_point begin_ = Clock::now();
  int requests_ = 0;
  bool told_ = false;
  Clock::time_point kill_at_ = Clock::time_point::max();
};

bool has_ended(pid_t leader) {
  siginfo_t info{};
  return waitid(P_PID, static_cast<id_t>(leader), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
         info.si_pid == leader;
}

}  // namespace

JobStatus run_job(const SupervisedJob& job, const JobSignals& signals) {
  const pid_t leader = start(job, signals.mask_before());
  Supervision supervision(job, leader);
  while (!has_ended(leader)) {
    signals.wait(supervision.on_tick());
    while (const auto signal = signals.next()) {
      supervision.on_signal(*signal);
    }
  }
  sweep(leader);
  int status = 0;
  waitpid(leader, &status, 0);
  constexpr int kSignalled = 128;
  return {WIFSIGNALED(status) ? kSignalled + WTERMSIG(status) : WEXITSTATUS(status), supervision.forced(),
          supervision.asked_to_pause()};
}

}  // namespace lockstep

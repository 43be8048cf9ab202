#include "launch/on_finish.h"

#include <sys/wait.h>

#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>
#include <iostream>

#include "launch/job_signals.h"
#include "launch/mpirun.h"
#include "launch/outcome.h"
#include "trainer/bill/user_command.h"
#include "trainer/run_dir/exit_code.h"

namespace lockstep {
namespace {

void say(const std::string& line) {
  std::cerr << "lockstep: " << line << std::endl;
}

std::string shown(const std::vector<std::string>& command) {
  std::string text;
  for (const std::string& word : command) text += (text.empty() ? "" : " ") + shell_quoted(word);
  return text;
}

bool is_due(const OnFinish& on_finish, ExitCode code) {
  if (on_finish.when == "always" || code == ExitCode::kFinished) return true;
  return on_finish.when == "stopped" && (code == ExitCode::kPaused || code == ExitCode::kBudget);
}

// False if somebody has cancelled it.
bool count_down(double delay_s, const JobSignals& signals) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration_cast<std::chrono::nanoseconds>(
                                                          std::chrono::duration<double>(delay_s));
  while (true) {
    if (signals.next()) return false;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
    if (left.count() <= 0) return true;
    signals.wait(left);
  }
}

// How it ended, in words; empty if well.
std::string run(const std::vector<std::string>& command) {
  const StartedCommand started = start_command(command);
  if (!started.problem.empty()) return started.problem;
  int status = 0;
  while (waitpid(started.child, &status, 0) < 0) {
    if (errno != EINTR) return std::string("cannot be waited for (") + std::strerror(errno) + ")";
  }
  if (WIFSIGNALED(status)) return "was ended by " + describe_signal(WTERMSIG(status));
  return WEXITSTATUS(status) == 0 ? "" : "ended with code " + std::to_string(WEXITSTATUS(status));
}

}  // namespace

void run_on_finish(const OnFinish& on_finish, int code) {
  if (on_finish.command.empty() || !is_due(on_finish, static_cast<ExitCode>(code))) return;
  const std::string text = shown(on_finish.command);
  if (on_finish.delay_s > 0.0) {
    const JobSignals signals;  // before anybody is told that one cancels it
    say("--on-finish runs " + text + " in " + std::to_string(std::llround(std::ceil(on_finish.delay_s))) +
        " s; Ctrl-C cancels it");
    if (!count_down(on_finish.delay_s, signals))
      return say("--on-finish was cancelled: " + text + " is not run");
  }
  say("--on-finish runs " + text);
  if (const std::string problem = run(on_finish.command); !problem.empty())
    say("warning: --on-finish: " + text + " " + problem);
}

}  // namespace lockstep

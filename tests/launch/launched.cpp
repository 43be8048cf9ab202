#include "tests/launch/launched.h"

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <stdexcept>

namespace lockstep {
namespace {

constexpr auto kPollMs = 5;

[[noreturn]] void become(const std::vector<std::string>& arguments, const Launched::Variables& variables,
                         const std::filesystem::path& folder, int terminal) {
  if (chdir(folder.c_str()) != 0) {
    _exit(126);
  }
  const int out = terminal >= 0 ? terminal : open("stdout.txt", O_WRONLY | O_CREAT | O_TRUNC, 0644);
  const int err = terminal >= 0 ? terminal : open("stderr.txt", O_WRONLY | O_CREAT | O_TRUNC, 0644);
  dup2(out, STDOUT_FILENO);
  dup2(err, STDERR_FILENO);
  setenv("LOCKSTEP_TRAIN_PROGRAM", FAKE_RANK_PROGRAM, 1);
  setenv("LOCKSTEP_BENCH_PROGRAM", FAKE_RANK_PROGRAM, 1);
  unsetenv("OMP_NUM_THREADS");
  for (const auto& [name, value] : variables) {
    setenv(name.c_str(), value.c_str(), 1);
  }
  std::vector<char*> argv = {const_cast<char*>(LOCKSTEP_PROGRAM)};
  for (const std::string& argument : arguments) {
    argv.push_back(const_cast<char*>(argument.c_str()));
  }
  argv.push_back(nullptr);
  execv(argv[0], argv.data());
  _exit(127);
}

}  // namespace

double monotonic_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

bool ends_within(pid_t pid, double seconds) {
  for (const double end = monotonic_s() + seconds; monotonic_s() < end; poll(nullptr, 0, kPollMs)) {
    const std::string stat = read_text("/proc/" + std::to_string(pid) + "/stat");
    const std::size_t name_end = stat.rfind(')');
    if (name_end == std::string::npos || stat.compare(name_end, 3, ") Z") == 0) {
      return true;
    }
  }
  return false;
}

Launched::Launched(const std::vector<std::string>& arguments, const Variables& variables,
                   int terminal_columns)
    : started_s_(monotonic_s()) {
  int terminal_end = -1;
  if (terminal_columns > 0) {
    winsize size{};
    size.ws_col = static_cast<unsigned short>(terminal_columns);
    size.ws_row = 24;
    termios raw{};
    cfmakeraw(&raw);
    if (openpty(&terminal_, &terminal_end, nullptr, &raw, &size) != 0) {
      throw std::runtime_error("openpty");
    }
    fcntl(terminal_, F_SETFD, FD_CLOEXEC);
    fcntl(terminal_, F_SETFL, O_NONBLOCK);
  }
  pid_ = fork();
  if (pid_ == 0) {
    become(arguments, variables, folder_.path(), terminal_end);
  }
  if (terminal_end >= 0) {
    close(terminal_end);
  }
}

Launched::~Launched() {
  if (pid_ > 0) {
    kill(pid_, SIGKILL);  // ends the job with it
    waitpid(pid_, nullptr, 0);
  }
  if (terminal_ >= 0) {
    close(terminal_);
  }
}

void Launched::send(int signal) const {
  kill(pid_, signal);
}

void Launched::wait_for(const std::string& what, const std::function<bool()>& holds) const {
  constexpr double kLongestS = 60;
  for (const double end = monotonic_s() + kLongestS; monotonic_s() < end; poll(nullptr, 0, kPollMs)) {
    if (holds()) return;
  }
  throw std::runtime_error(what + " has not come; stderr: " + read_text(folder() / "stderr.txt"));
}

std::string Launched::wait_for_file(const std::string& name) const {
  wait_for("file " + name, [&] { return std::filesystem::exists(folder() / name); });
  return read_text(folder() / name);
}

void Launched::wait_for_error(const std::string& text) const {
  wait_for(text, [&] { return read_text(folder() / "stderr.txt").find(text) != std::string::npos; });
}

pid_t Launched::pid_of_rank(int rank, const std::string& touched) const {
  return std::stoi(wait_for_file(touched + "-" + std::to_string(rank)));
}

int Launched::wait() {
  constexpr double kLongestS = 120;
  int status = 0;
  bool ended = false;
  const double end = monotonic_s() + kLongestS;
  while (!ended && monotonic_s() < end) {
    ended = waitpid(pid_, &status, WNOHANG) == pid_;
    if (terminal_ >= 0) {
      std::array<char, 4096> bytes{};
      for (ssize_t count = 0; (count = read(terminal_, bytes.data(), bytes.size())) > 0;) {
        output_.append(bytes.data(), static_cast<std::size_t>(count));
      }
    }
    if (!ended) {
      poll(nullptr, 0, kPollMs);
    }
  }
  if (!ended) {
    throw std::runtime_error("lockstep did not end; stderr: " + read_text(folder() / "stderr.txt"));
  }
  duration_s_ = monotonic_s() - started_s_;
  pid_ = -1;
  if (terminal_ < 0) {
    output_ = read_text(folder() / "stdout.txt");
    error_ = read_text(folder() / "stderr.txt");
  }
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace lockstep

#include "launch/rank_command.h"

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <system_error>

#include "launch/rank_end.h"
#include "launch/rank_output.h"
#include "launch/rank_watch.h"
#include "trainer/run_dir/exit_code.h"
#include "trainer/run_dir/heartbeat.h"

namespace lockstep {
namespace {

constexpr int kLastWordsMs = 300;

// One stream of the rank's program on its way, labelled, to ours.
struct Stream {
  int read_end = -1;   // ours; -1: at its end, or passed through untouched
  int write_end = -1;  // the program's
  int target = -1;     // where labelled lines go
  LineLabeller labeller;
};

[[noreturn]] void fail(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

// Alone, or as mpirun's n-th.
int own_rank() {
  const char* text = std::getenv("OMPI_COMM_WORLD_RANK");
  int rank = 0;
  if (text != nullptr) {
    const std::string_view digits(text);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), rank);
    if (error != std::errc() || end != digits.data() + digits.size() || rank < 0) {
      throw std::invalid_argument("environment variable OMPI_COMM_WORLD_RANK: \"" + std::string(digits) +
                                  "\" must be a whole number from 0");
    }
  }
  return rank;
}

// A pseudo-terminal where there is one, since programs hold back what they write to a pipe.
void open_stdout(Stream& stream) {
  termios raw{};
  cfmakeraw(&raw);
  if (openpty(&stream.read_end, &stream.write_end, nullptr, &raw, nullptr) != 0) {
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC) != 0) {
      fail("pipe");
    }
    stream.read_end = ends[0];
    stream.write_end = ends[1];
  }
  fcntl(stream.read_end, F_SETFD, FD_CLOEXEC);
  fcntl(stream.write_end, F_SETFD, FD_CLOEXEC);
}

void open_stderr(Stream& stream) {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) {
    fail("pipe");
  }
  stream.read_end = ends[0];
  stream.write_end = ends[1];
}

// Passes on what can be read without waiting. Returns false at the stream's end.
bool pass_on(Stream& stream) {
  std::array<char, 1 << 16> bytes{};
  const ssize_t count = read(stream.read_end, bytes.data(), bytes.size());
  if (count > 0) {
    write_lines(stream.target, stream.labeller.feed({bytes.data(), static_cast<std::size_t>(count)}));
    return true;
  }
  return count < 0 && errno == EINTR;  // a terminal's end is EIO
}

void finish(Stream& stream) {
  if (stream.read_end < 0) {
    return;
  }
  fcntl(stream.read_end, F_SETFL, O_NONBLOCK);  // a grandchild may hold it open: take what there is
  while (pass_on(stream)) {
  }
  write_lines(stream.target, stream.labeller.finish());
  close(stream.read_end);
  stream.read_end = -1;
}

// In the child: becomes the program or leaves with 127.
[[noreturn]] void become(const std::vector<std::string>& command, const std::array<Stream, 2>& streams,
                         sigset_t mask, pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) {  // it died before that took hold
    _exit(127);
  }
  for (const Stream& stream : streams) {
    if (stream.write_end >= 0) {
      dup2(stream.write_end, stream.target);
    }
  }
  sigaddset(&mask, SIGUSR1);
  sigprocmask(SIG_SETMASK, &mask, nullptr);
  std::vector<char*> argv;
  for (const std::string& argument : command) {
    argv.push_back(const_cast<char*>(argument.c_str()));  // execv's own signature, from before const
  }
  argv.push_back(nullptr);
  execv(argv[0], argv.data());
  const std::string message =
      "lockstep: error: " + command.front() + " cannot be started (" + std::strerror(errno) + ")\n";
  write_lines(STDERR_FILENO, message);
  _exit(127);
}

RankEnd end_now(int rank, const HeartbeatPage& page) {
  RankEnd end;
  end.rank = rank;
  end.ended_at_ns = std::chrono::duration_cast<std::chrono::nanoseconds>(
                        std::chrono::system_clock::now().time_since_epoch())
                        .count();
  const Heartbeat heartbeat = page.read();
  if (heartbeat.beats > 0) {
    end.step = heartbeat.step;
    end.where = describe(heartbeat);
  }
  return end;
}

struct Accompanied {
  pid_t child;
  int rank;
  std::filesystem::path dir;
  HeartbeatPage page;
  RankWatch watch;
  std::optional<std::int64_t> beats_at_stop = {};  // while there is a note of a stop
};

constexpr std::int64_t kBeatsOfGoingOn = 3;

// The child has stopped or goes on. The note of a stop stays until its heart has beaten kBeatsOfGoingOn
// times: mpirun has a stopped process go on so that it can end it, and that may still finish the step for
// which the others had given their part before they gave up.
void on_change(Accompanied& rank, int status) {
  const auto now = RankWatch::Clock::now();
  if (!WIFSTOPPED(status)) {
    rank.watch.continued(now);
    return;
  }
  rank.watch.stopped(WSTOPSIG(status), now);
  RankEnd stop = end_now(rank.rank, rank.page);
  stop.signal = WSTOPSIG(status);
  stop.cause = rank.watch.stop_text();
  write_rank_stop(rank.dir, stop);
  rank.beats_at_stop = rank.page.read().beats;
}

void take_back_stop(Accompanied& rank) {
  remove_rank_stop(rank.dir, rank.rank);
  rank.beats_at_stop.reset();
}

// Labels output and watches over the child until it ends; how it did.
RankEnd accompany(Accompanied& rank, std::array<Stream, 2>& streams, const sigset_t& child_signal) {
  const int signals = signalfd(-1, &child_signal, SFD_CLOEXEC);
  if (signals < 0) {
    fail("signalfd");
  }
  int status = 0;
  std::string cause;
  const auto interval = rank.watch.interval();
  for (;;) {
    const pid_t changed = waitpid(rank.child, &status, WNOHANG | WUNTRACED | WCONTINUED);
    if (changed == rank.child && !WIFSTOPPED(status) && !WIFCONTINUED(status)) {
      break;
    }
    if (changed == rank.child) {
      on_change(rank, status);
      continue;
    }
    if (rank.beats_at_stop && !rank.watch.is_stopped() &&
        rank.page.read().beats >= *rank.beats_at_stop + kBeatsOfGoingOn) {
      take_back_stop(rank);
    }
    if (const auto verdict = rank.watch.verdict(rank.page.read(), RankWatch::Clock::now());
        verdict && cause.empty()) {
      cause = *verdict;
      kill(rank.child, SIGKILL);
    }
    // poll() passes over negative descriptors.
    std::array<pollfd, 3> waiting = {
        {{signals, POLLIN, 0}, {streams[0].read_end, POLLIN, 0}, {streams[1].read_end, POLLIN, 0}}};
    if (poll(waiting.data(), waiting.size(), interval ? static_cast<int>(interval->count()) : -1) < 0 &&
        errno != EINTR) {
      fail("poll");
    }
    if (waiting[0].revents != 0) {
      signalfd_siginfo ignored{};
      (void)!read(signals, &ignored, sizeof(ignored));
    }
    for (std::size_t i = 0; i < streams.size(); ++i) {
      if (waiting[i + 1].revents != 0 && !pass_on(streams[i])) {
        finish(streams[i]);
      }
    }
  }
  for (Stream& stream : streams) {
    finish(stream);
  }
  RankEnd end = end_now(rank.rank, rank.page);
  end.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
  end.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  end.cause = cause;
  return end;
}

int code_for_mpirun(const std::filesystem::path& dir, const RankEnd& end) {
  constexpr int kSignalled = 128;
  if (end.signal != 0) {
    return kSignalled + end.signal;
  }
  if (end.exit_code == static_cast<int>(ExitCode::kPaused) ||
      end.exit_code == static_cast<int>(ExitCode::kBudget)) {
    return 0;
  }
  std::error_code error;
  const bool must_report = !dir.empty() && std::filesystem::is_directory(dir, error);
  if (end.exit_code == 0 && must_report && !read_exit_report(dir, end.rank)) {
    return static_cast<int>(ExitCode::kPeerFailed);
  }
  return end.exit_code;
}

}  // namespace

int run_rank_command(const std::vector<std::string>& arguments) {
  if (arguments.size() < 2) {
    throw std::invalid_argument("lockstep rank is started by lockstep train, with a program to run");
  }
  const int rank = own_rank();
  const std::filesystem::path dir = exit_report_dir();
  prctl(PR_SET_PDEATHSIG, SIGKILL);

  // On a terminal a label first wipes the line that rank 0's bar may be standing on; the bar draws itself
  // anew.
  const auto label = [&](const char* stream) {
    const bool terminal = arguments[0] == stream || arguments[0] == "both";
    return (terminal ? std::string("\r\x1b[K") : std::string()) + "[rank " + std::to_string(rank) + "] ";
  };
  std::array<Stream, 2> streams = {Stream{-1, -1, STDOUT_FILENO, LineLabeller(label("stdout"))},
                                   Stream{-1, -1, STDERR_FILENO, LineLabeller(label("stderr"))}};
  if (rank != 0) {
    open_stdout(streams[0]);
    open_stderr(streams[1]);
  }

  const HeartbeatPage page = HeartbeatPage::create();
  setenv(HeartbeatPage::kVariable, std::to_string(page.descriptor()).c_str(), 1);

  // Nothing may come between here and the point where the child has its own mask and we ignore what is the
  // child's.
  sigset_t all;
  sigset_t before;
  sigset_t child_signal;
  sigfillset(&all);
  sigemptyset(&child_signal);
  sigaddset(&child_signal, SIGCHLD);
  sigprocmask(SIG_SETMASK, &all, &before);
  const pid_t self = getpid();
  const pid_t child = fork();
  if (child < 0) {
    fail("fork");
  }
  if (child == 0) {
    become({arguments.begin() + 1, arguments.end()}, streams, before, self);
  }
  // mpirun and the launcher signal the whole process group; we stay to the end to tell how it ended.
  for (const int signal : {SIGUSR1, SIGUSR2, SIGTERM, SIGINT, SIGHUP, SIGPIPE}) {
    std::signal(signal, SIG_IGN);
  }
  sigaddset(&before, SIGCHLD);
  sigprocmask(SIG_SETMASK, &before, nullptr);
  for (Stream& stream : streams) {
    if (stream.write_end >= 0) {
      close(stream.write_end);
      stream.write_end = -1;
    }
  }
  write_rank_start(dir, rank);
  const bool others = std::getenv("OMPI_COMM_WORLD_SIZE") != nullptr &&
                      std::string_view(std::getenv("OMPI_COMM_WORLD_SIZE")) != "1";
  Accompanied accompanied{child, rank, dir, page, RankWatch(timeout_from_environment(), others)};
  const RankEnd end = accompany(accompanied, streams, child_signal);
  const int code = code_for_mpirun(dir, end);
  if (accompanied.beats_at_stop && code == 0) {  // it left in agreement, so it had gone on
    take_back_stop(accompanied);
  }
  write_rank_end(dir, end);
  // Its peers can say what they were waiting for, if mpirun leaves them the time.
  if (end.signal != 0 && others) {
    poll(nullptr, 0, kLastWordsMs);
  }
  return code;
}

std::string rank_command_help(const std::vector<std::string>& /*arguments*/) {
  return "usage: lockstep rank none|stdout|stderr|both PROGRAM ...\n";
}

}  // namespace lockstep

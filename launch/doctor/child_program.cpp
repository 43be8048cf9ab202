#include "launch/doctor/child_program.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>
#include <thread>

namespace lockstep {
namespace {

constexpr std::size_t kLongestLine = 1 << 20;

[[noreturn]] void fail(int error, const std::string& what) {
  throw std::system_error(error, std::generic_category(), what);
}

std::vector<char*> to_pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

bool ends_within(pid_t pid, std::chrono::milliseconds time) {
  const auto end = ChildProgram::Clock::now() + time;
  while (waitpid(pid, nullptr, WNOHANG) == 0) {
    if (ChildProgram::Clock::now() >= end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

}  // namespace

ChildProgram::ChildProgram(const std::vector<std::string>& arguments, const Environment& environment) {
  // A socket, so that writing to one that has ended is an error and no signal.
  std::array<int, 2> input{};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, input.data()) != 0) fail(errno, "socketpair");
  input_ = FileDescriptor(input[1]);
  const FileDescriptor childs_input(input[0]);
  std::array<int, 2> output{};
  if (pipe2(output.data(), O_CLOEXEC) != 0) fail(errno, "pipe");
  output_ = FileDescriptor(output[0]);
  const FileDescriptor childs_output(output[1]);
  error_ = FileDescriptor(memfd_create("lockstep-doctor", MFD_CLOEXEC));
  if (!error_) fail(errno, "memfd_create");

  std::vector<std::string> words = arguments;
  std::vector<std::string> variables;
  for (const auto& [name, value] : environment) variables.push_back(name + "=" + value);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, childs_input.get(), STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, childs_output.get(), STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, error_.get(), STDERR_FILENO);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  posix_spawnattr_setpgroup(&attributes, 0);
  const int error = posix_spawn(&pid_, words.front().c_str(), &actions, &attributes,
                                to_pointers(words).data(), to_pointers(variables).data());
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) fail(error, words.front() + " cannot be started");
}

ChildProgram::~ChildProgram() {
  constexpr std::chrono::milliseconds kOwnPace{500};
  input_.reset();
  if (ends_within(pid_, kOwnPace)) return;
  kill(pid_, SIGTERM);
  if (ends_within(pid_, kOwnPace)) return;
  kill(-pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

std::optional<std::string> ChildProgram::read_line(Clock::time_point deadline) {
  while (true) {
    if (const std::size_t end = unread_.find('\n'); end != std::string::npos) {
      std::string line = unread_.substr(0, end);
      unread_.erase(0, end + 1);
      return line;
    }
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    pollfd waiting{output_.get(), POLLIN, 0};
    const int ready = poll(&waiting, 1, static_cast<int>(std::max<std::int64_t>(left, 0)));
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0 || unread_.size() > kLongestLine) return std::nullopt;
    std::array<char, 4096> bytes{};
    const ssize_t count = read(output_.get(), bytes.data(), bytes.size());
    if (count <= 0) return std::nullopt;
    unread_.append(bytes.data(), static_cast<std::size_t>(count));
  }
}

bool ChildProgram::write_line(const std::string& line) {
  const std::string text = line + "\n";
  for (std::size_t sent = 0; sent < text.size();) {
    const ssize_t count = send(input_.get(), text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    sent += static_cast<std::size_t>(count);
  }
  return true;
}

std::string ChildProgram::error_text() const {
  std::string text(64 << 10, '\0');
  const ssize_t count = pread(error_.get(), text.data(), text.size(), 0);
  text.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
  return text;
}

}  // namespace lockstep

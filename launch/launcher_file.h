// LauncherFile: how others find the launcher of a run, and make sure that it is still the one.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace lockstep {

struct LauncherId {
  pid_t pid = 0;
  std::uint64_t start_ticks = 0;  // after the machine's start; a number that is used again has another
  std::string host;
  std::string machine;  // boot and PID namespace: where `pid` means something
};

LauncherId this_launcher();
void write_launcher_file(const std::filesystem::path& dir,
                         const LauncherId& launcher);  // throws filesystem_error
// Nothing where there is none, or it is damaged.
std::optional<LauncherId> read_launcher_file(const std::filesystem::path& dir);

// A living process of this machine, held fast: its number cannot become another's.
class LauncherProcess {
 public:
  // Nothing if it is of another machine (`machine` differs), or has ended.
  static std::optional<LauncherProcess> find(const LauncherId& launcher);
  LauncherProcess(LauncherProcess&& other) noexcept;
  LauncherProcess& operator=(LauncherProcess&&) = delete;
  ~LauncherProcess();

  bool send(int signal) const;  // false: it has ended, or is another user's (errno)
  // Returns whether it has ended, at the latest after `timeout_s`.
  bool wait_for_end(double timeout_s) const;

 private:
  explicit LauncherProcess(int pidfd) : pidfd_(pidfd) {}
  int pidfd_;
};

}  // namespace lockstep

#include "launch/launcher_file.h"

#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <utility>

#include "trainer/run_dir/atomic_file.h"

namespace lockstep {
namespace {

constexpr const char* kName = "launcher.json";

std::string first_line(const std::filesystem::path& file) {
  std::ifstream stream(file);
  std::string line;
  std::getline(stream, line);
  return line;
}

// Field 22 of /proc/PID/stat; the name in field 2 may hold blanks and brackets. 0 where there is no such
// process.
std::uint64_t start_ticks_of(pid_t pid) {
  const std::string stat = first_line("/proc/" + std::to_string(pid) + "/stat");
  const std::size_t name_end = stat.rfind(')');
  if (name_end == std::string::npos) {
    return 0;
  }
  std::istringstream fields(stat.substr(name_end + 1));
  constexpr int kFieldsBetween = 19;  // 3 to 21
  std::string field;
  for (int i = 0; i < kFieldsBetween; ++i) {
    fields >> field;
  }
  std::uint64_t ticks = 0;
  fields >> ticks;
  return ticks;
}

std::string this_machine() {
  std::error_code error;
  const auto names = std::filesystem::read_symlink("/proc/self/ns/pid", error);
  return first_line("/proc/sys/kernel/random/boot_id") + " " + names.string();
}

}  // namespace

LauncherId this_launcher() {
  std::array<char, 256> host{};
  gethostname(host.data(), host.size() - 1);
  return {getpid(), start_ticks_of(getpid()), host.data(), this_machine()};
}

void write_launcher_file(const std::filesystem::path& dir, const LauncherId& launcher) {
  const nlohmann::json json = {{"pid", launcher.pid},
                               {"start_ticks", launcher.start_ticks},
                               {"host", launcher.host},
                               {"machine", launcher.machine}};
  constexpr auto kReplace = nlohmann::json::error_handler_t::replace;
  write_file_atomically(dir / kName, json.dump(-1, ' ', false, kReplace) + "\n");
}

std::optional<LauncherId> read_launcher_file(const std::filesystem::path& dir) {
  const std::string text = first_line(dir / kName);
  const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  const auto has = [&](const char* key, auto is) { return json.contains(key) && (json[key].*is)(); };
  using Json = nlohmann::json;
  if (!json.is_object() || !has("pid", &Json::is_number_unsigned) ||
      !has("start_ticks", &Json::is_number_unsigned) || !has("host", &Json::is_string) ||
      !has("machine", &Json::is_string) || json["pid"].get<std::uint64_t>() > 1U << 30U) {
    return std::nullopt;
  }
  return LauncherId{json["pid"].get<pid_t>(), json["start_ticks"].get<std::uint64_t>(),
                    json["host"].get<std::string>(), json["machine"].get<std::string>()};
}

std::optional<LauncherProcess> LauncherProcess::find(const LauncherId& launcher) {
  if (launcher.machine != this_machine() || launcher.pid <= 0) {
    return std::nullopt;
  }
  const int pidfd = static_cast<int>(syscall(SYS_pidfd_open, launcher.pid, 0));
  if (pidfd < 0) {
    return std::nullopt;
  }
  LauncherProcess process(pidfd);
  // Asked after the number is held: what it says now is said of this process.
  if (start_ticks_of(launcher.pid) != launcher.start_ticks || process.wait_for_end(0.0)) {
    return std::nullopt;
  }
  return process;
}

LauncherProcess::LauncherProcess(LauncherProcess&& other) noexcept
    : pidfd_(std::exchange(other.pidfd_, -1)) {}

LauncherProcess::~LauncherProcess() {
  if (pidfd_ >= 0) {
    close(pidfd_);
  }
}

bool LauncherProcess::send(int signal) const {
  return syscall(SYS_pidfd_send_signal, pidfd_, signal, nullptr, 0) == 0;
}

bool LauncherProcess::wait_for_end(double timeout_s) const {
  constexpr double kMsPerS = 1000.0;
  constexpr double kLongestMs = 2e9;
  pollfd ended{pidfd_, POLLIN, 0};
  return poll(&ended, 1, static_cast<int>(std::min(timeout_s * kMsPerS, kLongestMs))) == 1;
}

}  // namespace lockstep

#include "trainer/bill/idle_watch.h"

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <stdexcept>

#include "trainer/bill/user_command.h"

namespace lockstep {
namespace {

double cpu_seconds() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
  };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

void warn(const std::string& line) {
  std::fprintf(stderr, "\nlockstep: warning: %s\n", line.c_str());
}

}  // namespace

bool IdleWatch::sample(std::int64_t steps, double utilization, double now_s) {
  if (steps != steps_ || utilization >= kIdleBelow || std::isnan(utilization)) {
    steps_ = steps;
    since_s_ = now_s;
    told_ = false;
    return false;
  }
  if (told_ || now_s - since_s_ < window_s_) return false;
  told_ = true;
  return true;
}

Utilization::Utilization(bool gpus, double now_s)
    : nvml_(gpus ? Nvml::load() : nullptr), cpu_s_(cpu_seconds()), now_s_(now_s) {}

double Utilization::read(double now_s) {
  const double cpu_s = cpu_seconds();
  const double elapsed_s = now_s - now_s_;
  double share = elapsed_s > 0.0 ? (cpu_s - cpu_s_) / elapsed_s : 1.0;
  cpu_s_ = cpu_s;
  now_s_ = now_s;
  if (nvml_ == nullptr) return share;
  double busiest = -1.0;
  for (const GpuReading& gpu : nvml_->read()) busiest = std::max(busiest, gpu.utilization.value_or(-1.0));
  return busiest >= 0.0 ? busiest : share;
}

void check_idle_action(const std::string& action) {
  if (action == "warn" || action == "pause") return;
  try {
    split_words(action);
  } catch (const std::invalid_argument& error) {
    throw std::invalid_argument(std::string("--idle-action: ") + error.what());
  }
}

void act_on_idle(const std::string& action, double window_s) {
  const std::string what = "the run is idle: no step in " + std::to_string(std::llround(window_s)) +
                           " s, and what it computes on was used under 10 %";
  if (action == "warn") return warn(what);
  if (action == "pause") {
    warn(what + "; it pauses with the next step (--idle-action pause)");
    kill(getpid(), SIGUSR1);
    return;
  }
  warn(what + "; runs " + action + " (--idle-action)");
  // Nobody waits for it: the run may be ended by it. A child that has ended stays a zombie until then.
  const StartedCommand started = start_command(split_words(action));
  if (!started.problem.empty()) warn("--idle-action: " + action + " " + started.problem);
}

}  // namespace lockstep

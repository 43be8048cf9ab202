#include "trainer/notices/notice_watcher.h"

#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <thread>
#include <utility>

#include "trainer/notices/notice_sources.h"

namespace lockstep {

struct NoticeWatcher::State {
  State(std::unique_ptr<NoticeSource> from, Tell tell, Tell tell_warning, std::chrono::milliseconds pause)
      : source(std::move(from)), on_notice(std::move(tell)), warn(std::move(tell_warning)), interval(pause) {}

  void watch() {
    constexpr int kFailuresToWarnOf = 3;
    int failures = 0;
    while (!stop) {
      try {
        if (const auto notice = source->poll(stop)) {
          on_notice(*notice);
          return;
        }
        failures = 0;
      } catch (const std::runtime_error& error) {
        if (++failures == kFailuresToWarnOf && !std::exchange(warned, true)) {
          warn("no notice of a machine's end may come (--notices): " + std::string(error.what()));
        }
      }
      std::unique_lock lock(mutex);
      wake.wait_for(lock, interval, [this] { return stop.load(); });
    }
  }

  const std::unique_ptr<NoticeSource> source;
  const Tell on_notice;
  const Tell warn;
  const std::chrono::milliseconds interval;
  std::mutex mutex;
  std::condition_variable wake;
  std::atomic<bool> stop{false};
  bool warned = false;
  std::thread thread;
};

NoticeWatcher::NoticeWatcher(std::unique_ptr<NoticeSource> source, Tell on_notice, Tell warn,
                             std::chrono::milliseconds interval)
    : state_(std::make_unique<State>(std::move(source), std::move(on_notice), std::move(warn), interval)) {
  state_->thread = std::thread([state = state_.get()] { state->watch(); });
}

NoticeWatcher::~NoticeWatcher() {
  {
    const std::scoped_lock lock(state_->mutex);
    state_->stop = true;
  }
  state_->wake.notify_all();
  state_->thread.join();
}

namespace {

// The first notice of either. The batch system's comes without asking anybody, so it goes first.
class EitherNotices final : public NoticeSource {
 public:
  EitherNotices(std::unique_ptr<NoticeSource> batch_system, std::unique_ptr<NoticeSource> cloud)
      : batch_system_(std::move(batch_system)), cloud_(std::move(cloud)) {}

  std::optional<std::string> poll(const std::atomic<bool>& stop) override {
    auto notice = batch_system_->poll(stop);
    return notice ? notice : cloud_->poll(stop);
  }

 private:
  const std::unique_ptr<NoticeSource> batch_system_;
  const std::unique_ptr<NoticeSource> cloud_;
};

}  // namespace

std::unique_ptr<NoticeSource> choose_notice_source(const std::string& notices, const std::string& url) {
  std::string name = notices;
  if (name == "auto") {
    const char* wanted = std::getenv("LOCKSTEP_NOTICES");
    const bool off = wanted != nullptr && std::string_view(wanted) == "off";
    if (off) return nullptr;
    name = detect_cloud();
    if (is_slurm_job_with_end()) {
      auto slurm = create_notice_source("slurm", "");
      if (name.empty()) return slurm;
      return std::make_unique<EitherNotices>(std::move(slurm), create_notice_source(name, url));
    }
  }
  if (name.empty() || name == "off") return nullptr;
  return create_notice_source(name, url);
}

}  // namespace lockstep

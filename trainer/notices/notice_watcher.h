// NoticeWatcher: asks a NoticeSource now and then, in a thread of its own, and tells once.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "trainer/notices/notice_source.h"

namespace lockstep {

// Its making takes no time, whatever the service does; its end takes a second at most. A service that fails
// is asked on: `warn` is called after three failures running, once.
class NoticeWatcher {
 public:
  using Tell = std::function<void(const std::string& line)>;  // from the watcher's thread

  NoticeWatcher(std::unique_ptr<NoticeSource> source, Tell on_notice, Tell warn,
                std::chrono::milliseconds interval = std::chrono::seconds(2));
  ~NoticeWatcher();
  NoticeWatcher(const NoticeWatcher&) = delete;
  NoticeWatcher& operator=(const NoticeWatcher&) = delete;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// What `--notices` comes to here: the source, or null. `auto` looks where this machine is, unless
// LOCKSTEP_NOTICES is "off" in the environment, as in tests.
std::unique_ptr<NoticeSource> choose_notice_source(const std::string& notices, const std::string& url);

}  // namespace lockstep

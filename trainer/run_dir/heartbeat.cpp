#include "trainer/run_dir/heartbeat.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <new>
#include <system_error>
#include <utility>

namespace lockstep {
namespace {

struct Words {
  std::atomic<std::int64_t> beats;
  std::atomic<std::int64_t> step;
  std::atomic<std::int32_t> phase;
};
static_assert(std::atomic<std::int64_t>::is_always_lock_free, "two processes share them");

void* map_words(int fd) {
  struct stat file {};
  if (fstat(fd, &file) != 0 || file.st_size != sizeof(Words)) {
    return nullptr;
  }
  void* const words = mmap(nullptr, sizeof(Words), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  return words == MAP_FAILED ? nullptr : words;
}

}  // namespace

struct HeartbeatPage::Mapping {
  Mapping(int descriptor, void* memory) : fd(descriptor), words(new (memory) Words) {}
  ~Mapping() {
    munmap(words, sizeof(Words));
    close(fd);
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  const int fd;
  Words* const words;
};

HeartbeatPage::HeartbeatPage(std::shared_ptr<Mapping> mapping) : mapping_(std::move(mapping)) {}

HeartbeatPage HeartbeatPage::create() {
  const int fd = memfd_create("lockstep-heartbeat", 0);
  void* const words = fd >= 0 && ftruncate(fd, sizeof(Words)) == 0 ? map_words(fd) : nullptr;
  if (words == nullptr) {
    const int error = errno;
    if (fd >= 0) close(fd);
    throw std::system_error(error, std::generic_category(), "memory for a rank's heartbeat");
  }
  return HeartbeatPage(std::make_shared<Mapping>(fd, words));
}

HeartbeatPage HeartbeatPage::from_environment() {
  const char* const text = std::getenv(kVariable);
  int fd = -1;
  if (text != nullptr) {
    const char* const end = text + std::strlen(text);
    const auto parsed = std::from_chars(text, end, fd);
    if (parsed.ec != std::errc() || parsed.ptr != end) fd = -1;
  }
  void* const words = fd > STDERR_FILENO ? map_words(fd) : nullptr;
  if (words == nullptr) return HeartbeatPage(nullptr);
  fcntl(fd, F_SETFD, FD_CLOEXEC);
  return HeartbeatPage(std::make_shared<Mapping>(fd, words));
}

int HeartbeatPage::descriptor() const {
  return mapping_ ? mapping_->fd : -1;
}

void HeartbeatPage::beat(RankPhase phase, std::int64_t step) noexcept {
  if (!mapping_) return;
  Words& words = *mapping_->words;
  words.step.store(step, std::memory_order_relaxed);
  words.phase.store(static_cast<std::int32_t>(phase), std::memory_order_relaxed);
  words.beats.store(words.beats.load(std::memory_order_relaxed) + 1, std::memory_order_release);
}

Heartbeat HeartbeatPage::read() const noexcept {
  if (!mapping_) return {};
  const Words& words = *mapping_->words;
  Heartbeat heartbeat;
  heartbeat.beats = words.beats.load(std::memory_order_acquire);
  heartbeat.step = words.step.load(std::memory_order_relaxed);
  heartbeat.phase = static_cast<RankPhase>(words.phase.load(std::memory_order_relaxed));
  return heartbeat;
}

std::string describe(const Heartbeat& heartbeat) {
  const std::string step = std::to_string(heartbeat.step);
  switch (heartbeat.phase) {
    case RankPhase::kStarting:
      return "at the start";
    case RankPhase::kTraining:
      return "in step " + std::to_string(heartbeat.step + 1);
    case RankPhase::kEvaluating:
      return "in the evaluation after step " + step;
    case RankPhase::kSaving:
      return "in the save after step " + step;
    case RankPhase::kEnding:
      return "at the end, after step " + step;
  }
  return "at an unknown place";
}

}  // namespace lockstep

// Slurm: a job's time limit ends its allocation, as SLURM_JOB_END_TIME (Unix seconds) announces when it
// begins. https://slurm.schedmd.com/sbatch.html#SECTION_OUTPUT-ENVIRONMENT-VARIABLES
#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <string_view>

#include "trainer/notices/notice_sources.h"

namespace lockstep {
namespace {

constexpr const char* kEndTime = "SLURM_JOB_END_TIME";
// As AWS gives: enough for a step, a save and the ranks' leaving.
constexpr std::chrono::seconds kAhead(120);

std::chrono::system_clock::time_point end_time() {
  const char* value = std::getenv(kEndTime);
  const std::string_view text = value == nullptr ? "" : value;
  std::int64_t seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  constexpr std::int64_t kLast = 253402300800;  // the year 10000
  if (text.empty() || error != std::errc() || end != text.data() + text.size() || seconds <= 0 ||
      seconds > kLast) {
    throw std::invalid_argument(std::string("--notices slurm: ") + kEndTime + " is " +
                                (value == nullptr ? "not set" : excerpt(value)) +
                                "; it must be the Unix time at which the job ends, as Slurm sets it");
  }
  return std::chrono::system_clock::time_point(std::chrono::seconds(seconds));
}

class SlurmNotices final : public NoticeSource {
 public:
  std::optional<std::string> poll(const std::atomic<bool>& /*stop*/) override {
    const auto left = end_ - std::chrono::system_clock::now();
    if (left > kAhead) return std::nullopt;
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(left).count();
    return "Slurm ends this job in " + std::to_string(std::max<std::int64_t>(0, seconds)) + " s (" +
           kEndTime + ")";
  }

 private:
  const std::chrono::system_clock::time_point end_ = end_time();
};

}  // namespace

std::unique_ptr<NoticeSource> make_slurm_notices(const std::string& /*url*/) {
  return std::make_unique<SlurmNotices>();
}

bool is_slurm_job_with_end() {
  return std::getenv(kEndTime) != nullptr;
}

}  // namespace lockstep

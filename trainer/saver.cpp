#include "trainer/saver.h"

#include <ATen/ops/full.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "comm/agreement.h"

namespace lockstep {
namespace {

using Clock = std::chrono::steady_clock;

// What spot machines are given between the notice and the end: 30 s on Google and Azure, 120 s on AWS.
constexpr double kNoticesS[] = {30.0, 120.0};
constexpr double kLongWaitS = 1.0;

double seconds_between(Clock::time_point begin, Clock::time_point end) {
  return std::chrono::duration<double>(end - begin).count();
}
double now_s() {
  return seconds_between(Clock::time_point(), Clock::now());
}

std::string seconds_text(double seconds) {
  char text[32];
  std::snprintf(text, sizeof text, seconds < 10.0 ? "%.2g s" : "%.0f s", seconds);
  return text;
}

}  // namespace

Saver::Saver(CommunicatorPtr communicator, const TrainConfig& config, const RunDir& run_dir,
             RunReporter* reporter, double mean_time_between_failures_s,
             std::optional<std::int64_t> last_complete)
    : communicator_(std::move(communicator)),
      round_(std::clamp(static_cast<int>(config.timeout_s * 1000.0 / 4.0), 1, 1000)),
      reporter_(reporter),
      last_complete_(last_complete),
      run_dir_(run_dir) {
  if (reporter_ == nullptr) return;
  writer_.emplace(run_dir, config.keep_checkpoints,
                  CheckpointWriter::Retries{.most = config.checkpoint_retries});
  clock_.emplace(*parse_checkpoint_interval(config.checkpoint_interval), mean_time_between_failures_s,
                 now_s());
}

// Rank 0 tells the others whether the wait is over, at least once a round.
void Saver::wait_together(bool until_idle) {
  for (;;) {
    bool over = true;
    if (writer_) {
      over = until_idle ? writer_->wait_until_idle(round_) : writer_->hold(round_);
      poll();
    }
    const at::Tensor verdict = at::full({1}, over ? 1 : 0, at::TensorOptions().dtype(at::kInt));
    communicator_->broadcast(verdict, 0)->wait();
    if (verdict.item<int>() != 0) return;
  }
}

void Saver::begin() {
  const auto begin = Clock::now();
  wait_together(/*until_idle=*/false);
  waited_s_ = seconds_between(begin, Clock::now());
  communicator_->barrier();  // on a GPU a sum that failed shows here, before what it spoilt is saved
  snapshot_began_ = Clock::now();
  if (reporter_ != nullptr && waited_s_ > kLongWaitS && !std::exchange(told_waiting_, true)) {
    reporter_->warn("training stood still for " + seconds_text(waited_s_) +
                    " until the checkpoint before was written; a longer --checkpoint-interval, or a faster "
                    "disk, would spare that");
  }
}

void Saver::write(Checkpoint checkpoint, const Position& at) {
  const double snapshot_s = seconds_between(snapshot_began_, Clock::now());
  clock_->saved(now_s(), snapshot_s);
  saving_at_ = at;
  save_time_s_ = waited_s_ + snapshot_s;
  writer_->start(std::move(checkpoint));
  report_interval();
}

void Saver::poll() {
  if (!writer_) return;
  for (const std::string& line : writer_->take_warnings()) reporter_->warn(line);
  if (const auto end = writer_->take_end()) report(*end);
}

void Saver::report(const WriteEnd& end) {
  if (!end.failure.empty()) {
    failure_ = "the checkpoint of step " + std::to_string(end.step) +
               " could not be written in any try: " + end.failure +
               "; mend that, then run the same command again";
    if (last_complete_) failure_ += ": it goes on from step " + std::to_string(*last_complete_);
    return;
  }
  last_complete_ = end.step;
  reporter_->happened("checkpoint", saving_at_, run_dir_.checkpoint(end.step).string(), save_time_s_,
                      end.write_time_s);
  const double whole_s = save_time_s_ + end.write_time_s;
  for (const double notice_s : kNoticesS) {
    if (whole_s <= notice_s || told_notice_s_ >= notice_s) continue;
    told_notice_s_ = notice_s;
    reporter_->warn(
        "a save takes " + seconds_text(whole_s) + ", longer than the " + seconds_text(notice_s) +
        (notice_s > 60.0 ? " between an AWS spot notice" : " between a Google or Azure spot notice") +
        " and the machine's end: what the last checkpoint does not hold may then be lost");
  }
}

// A run by the clock of its own making tells what it has come to, and when that changes.
void Saver::report_interval() {
  const auto interval_s = clock_->interval_s();
  if (!clock_->is_auto() || !interval_s) return;
  if (told_interval_s_ && *interval_s < 2.0 * *told_interval_s_ && *told_interval_s_ < 2.0 * *interval_s)
    return;
  told_interval_s_ = interval_s;
  reporter_->say("--checkpoint-interval auto: every " + seconds_text(*interval_s) + ", as a save costs " +
                 seconds_text(clock_->blocking_s()) + " and a failure is to be expected every " +
                 seconds_text(clock_->mean_time_between_failures_s()));
}

bool Saver::due() const {
  return writer_ && clock_->due(now_s()) && writer_->state() != CheckpointWriter::State::kWriting;
}

std::string Saver::settle() {
  wait_together(/*until_idle=*/true);
  failure_ = broadcast_text(failure_, 0, *communicator_);
  return failure_;
}

}  // namespace lockstep

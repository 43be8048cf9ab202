// StepTimer: where a training step's time goes. The parts add up to the step, exactly (docs/contracts.md).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>

namespace lockstep {

enum class StepPart : int {
  kData,                  // waiting for the batch, and bringing it to the device
  kForward,               // the model and the loss
  kBackward,              // without the exposed communication
  kExposedCommunication,  // waiting for other ranks while nothing else could be done
  kOptimizer,             // gradient clipping and the update
  kOther,                 // everything else between begin_step() and end_step()
};
inline constexpr int kStepPartCount = 6;

// "data", "forward", "backward", "exposed_communication", "optimizer", "other".
const char* step_part_name(StepPart part);

// Times in whole nanoseconds, so that they add up without rounding; of one step, or the sum over several.
struct StepTimes {
  std::int64_t steps = 0;
  std::array<std::int64_t, kStepPartCount> parts_ns = {};

  std::int64_t part_ns(StepPart part) const { return parts_ns[static_cast<std::size_t>(part)]; }
  std::int64_t total_ns() const;            // the sum of the parts
  double mean_part_s(StepPart part) const;  // per step; 0 where there are no steps
  double mean_step_s() const;               // per step; 0 where there are no steps
  double share(StepPart part) const;        // of the total, in [0, 1]; 0 where no time passed
  StepTimes& operator+=(const StepTimes& other);
};

// On CUDA the host's clock is what counts: a part is the time until the host goes on to the next one.
//
//   timer.begin_step();
//   timer.begin(StepPart::kData);      auto batch = loader.next();
//   timer.begin(StepPart::kForward);   ...
//   timer.end_step();
//
// Not thread-safe. Each call reads a monotonic clock once. begin() and the following throw std::logic_error
// outside a step.
class StepTimer {
 public:
  using Clock = std::int64_t (*)();  // nanoseconds since some moment; never goes back

  // Hears of each piece of a part as it ends, with the clock's times of its begin and end; exposed
  // communication that add_exposed_communication() moves stays within the part that it was waited for in.
  using Observer = std::function<void(StepPart part, std::int64_t begin_ns, std::int64_t end_ns)>;

  explicit StepTimer(Clock now_ns = monotonic_ns) : now_ns_(now_ns) {}

  void set_observer(Observer observer) { observer_ = std::move(observer); }

  // Starts a step, in kOther; a step that was not ended (an exception passed through) is dropped.
  void begin_step();
  // Ends the current part and begins `part`, which may be begun several times in a step; its times add up.
  void begin(StepPart part);
  // The current part, or the last one.
  StepPart part() const { return current_; }
  // Of the time since the last begin(), the latest `seconds` were exposed communication: they are moved there
  // from the current part. More than that time cannot have been, so nothing beyond it is moved; nor if
  // `seconds` is not positive.
  void add_exposed_communication(double seconds);
  // Ends the step, gives its times and adds them to those that take_sum() returns.
  StepTimes end_step();

  // The sum over the steps ended since the last call.
  StepTimes take_sum();

  static std::int64_t monotonic_ns();

 private:
  void require_step() const;
  std::int64_t& current_ns() { return step_.parts_ns[static_cast<std::size_t>(current_)]; }

  Clock now_ns_;
  bool in_step_ = false;
  StepPart current_ = StepPart::kOther;
  Observer observer_;
  std::int64_t begin_ns_ = 0;  // of the current part
  std::int64_t mark_ns_ = 0;   // up to here the time of the step has been shared out
  StepTimes step_;
  StepTimes sum_;
};

}  // namespace lockstep

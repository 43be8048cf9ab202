// Projection: how long a run still takes, from what it has measured so far.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>

namespace lockstep {

struct RemainingWork {
  std::int64_t steps = 0;
  std::int64_t evaluations = 0;
  std::int64_t saves = 0;
};

// Steps, evaluations and saves are measured apart, so that those which come seldom count in full once one of
// them is known. Not thread-safe.
class Projection {
 public:
  // From the end of the step before, or of what came between, to the end of this one. The first steps warm
  // caches up and say little about the rest: they are left out.
  void stepped(double seconds);
  void evaluated(double seconds) { evaluations_.add(seconds); }
  void saved(double seconds) { saves_.add(seconds); }
  // A save goes on in the background; the last one of a run is waited for.
  void wrote(double seconds) { writes_.add(seconds); }
  // What an evaluation or a save is taken for until one is measured.
  void expect_evaluation(double seconds) { expected_evaluation_s_ = seconds; }
  void expect_save(double seconds) { expected_save_s_ = seconds; }

  // Steps that count.
  std::int64_t measured_steps() const { return steps_.count; }
  // None until steps are measured.
  std::optional<double> step_s() const;
  double evaluation_s() const { return evaluations_.mean_or(expected_evaluation_s_); }
  double save_s() const { return saves_.mean_or(expected_save_s_); }
  double last_save_s() const { return save_s() + writes_.mean_or(0.0); }
  std::optional<double> remaining_s(const RemainingWork& work) const;
  // How much longer the last steps took than the first that count; from 1 to 5. A machine that is busier now
  // than at the start takes longer for everything.
  double slowdown() const;
  // What remaining_s() would be if every step were as quick as the quickest so far.
  std::optional<double> least_remaining_s(const RemainingWork& work) const;

 private:
  struct Mean {
    double sum = 0.0;
    std::int64_t count = 0;
    void add(double value) {
      sum += value;
      ++count;
    }
    double mean_or(double otherwise) const {
      return count > 0 ? sum / static_cast<double>(count) : otherwise;
    }
  };

  std::int64_t warm_up_ = 0;
  static constexpr std::int64_t kFew = 10;  // the first steps, and about as many of the last

  Mean first_steps_;
  double last_steps_s_ = 0.0;  // a mean that forgets
  double quickest_step_s_ = std::numeric_limits<double>::infinity();
  Mean steps_, evaluations_, saves_, writes_;
  double expected_evaluation_s_ = 0.0;
  double expected_save_s_ = 0.0;
};

}  // namespace lockstep

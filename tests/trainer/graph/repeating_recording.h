// A StepRecording for the CPU: it does what was recorded by running the function again.
#pragma once

#include <functional>
#include <memory>
#include <stdexcept>
#include <string>

#include "trainer/graph/step_recording.h"

namespace lockstep::testing {

class RepeatingRecording final : public StepRecording {
 public:
  // What happened to it, for whoever outlives it.
  struct Counts {
    int captures = 0;
    int replays = 0;
  };

  // `problem`: what capture() throws, if anything.
  explicit RepeatingRecording(std::shared_ptr<Counts> counts, std::string problem = {})
      : counts_(std::move(counts)), problem_(std::move(problem)) {}

  void capture(const std::function<void()>& work) override {
    ++counts_->captures;
    if (!problem_.empty()) throw std::runtime_error(problem_);
    work_ = work;
  }
  void replay() override {
    ++counts_->replays;
    work_();
  }

 private:
  std::shared_ptr<Counts> counts_;
  std::string problem_;
  std::function<void()> work_;
};

}  // namespace lockstep::testing

#include "trainer/graph/step_graph.h"

#include <ATen/ops/empty_like.h>

#include <algorithm>
#include <exception>
#include <utility>

#include "comm/agreement.h"
#include "comm/errors.h"

namespace lockstep {
namespace {

// cuDNN and cuBLAS have made their choices after one, and the optimizer's memory is there; the second shows
// the allocator what a step needs when that is so.
constexpr int kWarmUpSteps = 3;

// LibTorch's go on with hints and a stack trace.
std::string first_line(const std::exception& error) {
  const std::string text = error.what();
  return text.substr(0, text.find('\n'));
}

bool same_layout(const at::Tensor& a, const at::Tensor& b) {
  return a.sizes() == b.sizes() && a.strides() == b.strides() && a.scalar_type() == b.scalar_type();
}

at::Tensor copy_of(const at::Tensor& tensor) {
  return at::empty_like(tensor).copy_(tensor);
}

}  // namespace

StepGraph::StepGraph(std::unique_ptr<StepRecording> recording, CommunicatorPtr communicator)
    : recording_(std::move(recording)),
      communicator_(std::move(communicator)),
      watch_(dynamic_cast<ReplayWatch*>(communicator_.get())) {}

bool StepGraph::prepare(const std::vector<StepInput>& inputs, bool settled, const Work& work) {
  if (state_ == State::kWarmingUp) {
    if (settled && eager_steps_ >= kWarmUpSteps) return capture(inputs, work);
    ++eager_steps_;
  }
  if (state_ != State::kCaptured || !fits(inputs)) return false;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    inputs_[i].data.copy_(inputs[i].data);
    inputs_[i].target.copy_(inputs[i].target);
  }
  return true;
}

// A communicator that has failed is no matter of capturing: its error goes on.
bool StepGraph::capture(const std::vector<StepInput>& inputs, const Work& work) {
  for (const StepInput& input : inputs) inputs_.push_back({copy_of(input.data), copy_of(input.target)});
  const std::int64_t sent_before = communicator_->bytes_sent();
  std::string mine;
  try {
    recording_->capture([this, work] { work(inputs_); });
  } catch (const CommError&) {
    throw;
  } catch (const std::exception& error) {
    mine = first_line(error);
  }
  bytes_sent_ = communicator_->bytes_sent() - sent_before;
  problem_ = first_problem(mine, *communicator_);
  state_ = problem_.empty() ? State::kCaptured : State::kGivenUp;
  if (state_ == State::kCaptured) return true;
  recording_.reset();
  inputs_.clear();
  return false;
}

bool StepGraph::fits(const std::vector<StepInput>& inputs) const {
  return std::equal(inputs.begin(), inputs.end(), inputs_.begin(), inputs_.end(),
                    [](const StepInput& a, const StepInput& b) {
                      return same_layout(a.data, b.data) && same_layout(a.target, b.target);
                    });
}

void StepGraph::replay(std::int64_t step) {
  check_peers();
  recording_->replay();
  // What the first one sends was counted when it was recorded.
  const std::int64_t bytes_sent = std::exchange(replayed_, true) ? bytes_sent_ : 0;
  if (watch_ != nullptr)
    watch_->watch_replay("the replay of the captured step " + std::to_string(step), bytes_sent);
}

void StepGraph::check_peers() const {
  if (watch_ != nullptr) watch_->throw_if_failed();
}

}  // namespace lockstep

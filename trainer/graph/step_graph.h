// StepGraph: when a training step is captured, with which inputs, and when it has to be done as ever.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "comm/replay_watch.h"
#include "trainer/graph/step_recording.h"

namespace lockstep {

// One batch on the device that trains.
struct StepInput {
  at::Tensor data;
  at::Tensor target;
};

// The first steps are done as ever ("eagerly"): kernels are chosen, memory is found, buckets are rebuilt.
// Then one step is captured and replayed in its own place, so that every step counts once; and every later
// one whose batches have the same shapes is a replay with its batches copied to where the captured step reads
// them. Steps of other shapes (an epoch's last) are done eagerly in between, on the same parameters,
// gradients and optimizer state.
//
// Every rank has one and asks it before the same steps. What cannot be captured on one rank is captured on
// none.
class StepGraph {
 public:
  using Work = std::function<void(const std::vector<StepInput>& inputs)>;

  // `communicator` is that of the step's collectives, and outlives this object.
  StepGraph(std::unique_ptr<StepRecording> recording, CommunicatorPtr communicator);

  // Whether the next step is to be replayed, from `inputs`, which are copied; else it is to be done eagerly.
  // `settled`: it may be captured if it has not been; the same on all ranks, as are the inputs' shapes. Then
  // `work`, a whole step on the inputs that it is given, is recorded here; a collective of the host. If that
  // fails on any rank, problem() says why, and no step is replayed from then on.
  bool prepare(const std::vector<StepInput>& inputs, bool settled, const Work& work);
  // Queues the step that was prepared. `step`: its number, for errors. Throws CommError.
  void replay(std::int64_t step);
  // Throws CommError if a peer has failed during a replay: what it has computed counts for nothing then.
  void check_peers() const;

  bool is_captured() const { return state_ == State::kCaptured; }
  // "rank 1: operation not permitted when stream is capturing"; empty unless the capture has failed.
  const std::string& problem() const { return problem_; }

 private:
  enum class State { kWarmingUp, kCaptured, kGivenUp };

  bool capture(const std::vector<StepInput>& inputs, const Work& work);
  bool fits(const std::vector<StepInput>& inputs) const;

  std::unique_ptr<StepRecording> recording_;
  CommunicatorPtr communicator_;
  ReplayWatch* watch_;  // communicator_, where it does not see replays by itself
  State state_ = State::kWarmingUp;
  int eager_steps_ = 0;
  std::vector<StepInput> inputs_;  // what the captured step reads
  std::int64_t bytes_sent_ = 0;    // by its collectives, each time
  bool replayed_ = false;
  std::string problem_;
};

}  // namespace lockstep

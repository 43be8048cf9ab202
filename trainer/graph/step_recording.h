// StepRecording: what a function makes a device do, recorded once and done again.
#pragma once

#include <c10/core/Device.h>

#include <functional>
#include <memory>

namespace lockstep {

// Used by one thread, with the same current stream in all calls.
class StepRecording {
 public:
  virtual ~StepRecording() = default;

  // Runs `work` to record what it queues on the device, which does none of it. `work` must not wait for the
  // device, nor copy to or from the host. Called once. Throws what `work` throws, and what the device refuses
  // to record; random numbers, streams and memory are then as before, and nothing else may be called.
  virtual void capture(const std::function<void()>& work) = 0;
  // Queues what was recorded: kernels with the arguments that they had then, on the same memory; random
  // numbers go on from where they are. The host does not wait for it, but for a replay that was queued some
  // calls before, so that it cannot run ahead without end.
  virtual void replay() = 0;
};

// By a CUDA graph. The current stream must not be the default one (prepare_process_for_capture()).
std::unique_ptr<StepRecording> create_cuda_recording(c10::Device device);

// Gives this thread a current stream of its own on GPU `device`, since the default one cannot be captured. To
// be called before anything is queued there, so that everything is queued on the one stream, and before other
// threads are started: sets NCCL_GRAPH_REGISTER=0 unless it is set.
void prepare_process_for_capture(c10::Device device);

}  // namespace lockstep

// PyTorch's side of `lockstep bench step`: bench/peers/pytorch_step.py under torchrun, one process beside
// each rank.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "bench/config/step_config.h"
#include "bench/world.h"

namespace lockstep {

// Started once and kept: between its turns the twin sleeps on a socket, so that it costs the others nothing.
// It ends when the socket closes, whatever ends this process.
class PytorchTwin {
 public:
  // Collective: the first rank of each machine starts torchrun for all of that machine's. Throws
  // std::invalid_argument if the script is not there, CommError if a twin ends or does not come within the
  // timeout.
  PytorchTwin(const StepConfig& config, const BenchWorld& world);
  ~PytorchTwin();
  PytorchTwin(const PytorchTwin&) = delete;
  PytorchTwin& operator=(const PytorchTwin&) = delete;

  const std::string& version() const { return version_; }  // PyTorch's

  // Makes the models and the batch of `workload`; those before are dropped. `compress`: with PyTorch's fp16
  // hook. `compiles`: with a model for torch.compile, too.
  void set_up(const Workload& workload, bool compress, bool compiles);

  // `kind` "local": without communication, the ranks meeting before each step; the seconds of each. "ddp":
  // with DistributedDataParallel, "compiled": under torch.compile, too; the seconds of all of them together.
  // Collective.
  std::vector<double> take_turn(const std::string& kind, int settle_steps, int steps);

  // Ends the twins in good order; collective.
  void close();

 private:
  void start_torchrun(const StepConfig& config, const BenchWorld& world, const std::string& ports,
                      const std::string& master_address, const std::string& master_port);
  void accept_twin(int listener);
  // Sends one line and returns the twin's, each a JSON object.
  std::string ask(const std::string& request);
  [[noreturn]] void fail(const std::string& what) const;

  const BenchWorld& world_;
  const std::string precision_;
  const bool channels_last_;
  pid_t torchrun_ = -1;  // on the first rank of each machine
  int socket_ = -1;
  std::string unread_;
  std::string version_;
};

}  // namespace lockstep

// TrainState: where a run is. Together with the model it is all that a resume needs.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "comm/reducer.h"
#include "trainer/early_stopping.h"
#include "trainer/optim/grad_scaler.h"
#include "trainer/optim/optimizer.h"

namespace lockstep {

struct TrainState {
  std::int64_t step = 0;                  // optimizer steps done
  std::int64_t epoch = 0;                 // the epoch under way, from 0
  std::int64_t batch = 0;                 // batches of it that each logical rank has done
  std::int64_t samples_seen = 0;          // by all ranks together
  std::optional<double> train_loss;       // of the last step whose loss was read, averaged over logical ranks
  std::optional<double> test_loss;        // of the last evaluation
  std::optional<double> test_accuracy;    // in [0, 1]
  MonitorState monitor;                   // what evaluations have shown so far
  std::vector<at::Tensor> random_states;  // by logical rank
  BucketHistory buckets;
  std::string schedule;                        // LrScheduler::description() and what its steps are
  std::int64_t schedule_steps = 0;             // that it has taken
  double lr = 0.0;                             // for the next step
  std::optional<double> momentum;              // for the next step, where the schedule moves it
  std::optional<GradScalerState> grad_scaler;  // with 16-mixed
  std::string optimizer_name;
  std::vector<OptimizerStateEntry> optimizer;
  // What must be the same for the run to go on with the same bits: option names and values.
  std::vector<std::pair<std::string, std::string>> identity;
  // What decides bits beside it and may change on the way (trainer/run_identity.h).
  std::vector<std::pair<std::string, std::string>> circumstances;
};

// As train_state.pt holds it: dicts, lists, numbers, strings and tensors, which torch.load opens
// (docs/checkpoints.md).
c10::IValue to_ivalue(const TrainState& state);
// Throws DataError, naming the field, for anything that to_ivalue() would not have made.
TrainState train_state_from(const c10::IValue& value);

}  // namespace lockstep

// A model's state as checkpoints hold it.
#pragma once

#include "trainer/checkpoint/named_tensors.h"
#include "trainer/models/model.h"

namespace lockstep {

// Parameters, then buffers, detached, in registration order: Python's state_dict(). Shares memory with the
// model.
NamedTensors model_state(const Model& model);

}  // namespace lockstep

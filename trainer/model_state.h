// A model's state as checkpoints hold it.
#pragma once

#include "trainer/checkpoint/named_tensors.h"
#include "trainer/models/model.h"

namespace lockstep {

// Parameters, then buffers, detached, in registration order: Python's state_dict(). Shares memory with the
// model.
NamedTensors model_state(const Model& model);

// A Python model's state has a shared parameter under each of its names (shared_names() of models.h). This
// drops the further ones, and DDP's prefix. Throws DataError, naming `source` and both names, if they do not
// hold the same bits: such a model no longer shares them.
NamedTensors without_shared_names(NamedTensors tensors, const std::string& model, const std::string& source);
// This adds them, so that Python's load_state_dict() finds every name.
NamedTensors with_shared_names(NamedTensors tensors, const std::string& model);

}  // namespace lockstep

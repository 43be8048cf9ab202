// Checkpoints as Python scripts write them, and ours as such:
//   torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step}, "x.pt")
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "trainer/checkpoint/named_tensors.h"
#include "trainer/optim/grad_scaler.h"
#include "trainer/optim/optimizer.h"

namespace lockstep {

// What optimizer.state_dict()["param_groups"][0] says.
struct ParamGroup {
  std::optional<double> lr = {};
  std::optional<double> momentum = {};
  std::optional<double> dampening = {};
  std::optional<double> weight_decay = {};
  std::optional<double> beta1 = {};
  std::optional<double> beta2 = {};
  std::optional<double> eps = {};
  std::optional<bool> nesterov = {};
};

struct PythonCheckpoint {
  NamedTensors model;  // without the prefix of Python's DDP
  std::int64_t step = 0;
  std::vector<OptimizerStateEntry> optimizer;
  std::optional<ParamGroup> param_group;
  std::optional<GradScalerState> grad_scaler;
  std::vector<at::Tensor> random_states;  // "random_states": torch.get_rng_state() of each rank
  std::vector<std::string> unused;        // keys that mean nothing to us
};

// A .safetensors file or a torch.save archive: of a state_dict(), or of a dict with one under "model" (or
// "model_state_dict" or "state_dict") and perhaps "optimizer" (or "optimizer_state_dict"), "step" (or
// "global_step"), "scaler" (or "scaler_state_dict") and "random_states". Throws DataError that names the
// file: what else it wants, or which of these is none.
PythonCheckpoint read_python_checkpoint(const std::filesystem::path& path);

// Whether the file's name says safetensors.
bool is_safetensors(const std::filesystem::path& path);

}  // namespace lockstep

// CheckpointManager: complete checkpoints or none. Used by rank 0 alone, which sends what it reads to the
// others.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "trainer/checkpoint/named_tensors.h"
#include "trainer/run_dir/run_dir.h"

namespace lockstep {

struct Checkpoint {
  std::int64_t step = 0;
  NamedTensors model;       // model.safetensors; CPU tensors
  c10::IValue train_state;  // train_state.pt: nested dicts and lists of int, float, bool, str and CPU tensors
  // For save(): the checkpoint that stays beside the newest ones and that `best` leads to; perhaps this one.
  std::optional<std::int64_t> best_step = {};
};

// Folder format (docs/checkpoints.md): checkpoints/step_N/{model.safetensors, train_state.pt, meta.json}, and
// `latest` and `best`, relative links. A save writes a hidden folder, fsyncs its files, writes meta.json with
// their sizes and SHA-256 last, fsyncs it and the folder, renames it, fsyncs the parent, and then moves
// `latest`.
class CheckpointManager {
 public:
  using Warn = std::function<void(const std::string& line)>;

  // Keeps the newest `keep_last` checkpoints (at least 1); `warn` receives one line for each thing that was
  // odd.
  CheckpointManager(RunDir run_dir, int keep_last, Warn warn);

  // Blocks until the checkpoint is durable. Saving a step again replaces it. Throws DataError with the path
  // and the system's reason when it cannot be written; what was there before stays valid. Once it is durable,
  // whatever stands in the way of links and of removing older ones is a warning.
  void save(const Checkpoint& checkpoint);
  // The newest checkpoint whose sizes and checksums are right; damaged ones, and links, are skipped with
  // a warning.
  // Nothing if the folder holds no checkpoint at all; DataError if it holds some and none of them loads.
  std::optional<Checkpoint> load_newest() const;
  // The checkpoint in a folder step_N, or to which `latest` or `best` leads beside it. Throws DataError
  // if it is damaged.
  static Checkpoint load(const std::filesystem::path& folder);

 private:
  void see_to_the_others(std::int64_t saved_step, std::optional<std::int64_t> best_step);

  RunDir run_dir_;
  bool root_was_there_;
  int keep_last_;
  Warn warn_;
};

}  // namespace lockstep

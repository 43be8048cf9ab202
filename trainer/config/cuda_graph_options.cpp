#include "trainer/config/cuda_graph_options.h"

#include <stdexcept>

namespace lockstep {

std::string why_not_captured(const TrainConfig& config) {
  if (config.device == "cpu") return "--device cpu: CUDA graphs need a GPU";
  if (config.backend != "auto" && config.backend != "nccl") {
    return "--backend " + config.backend + ": its sums pass through the host, which a graph cannot wait for";
  }
  if (config.share_gpus)
    return "--share-gpus: one rank's replay may fill the GPU that its peer's collective waits for";
  if (config.expandable_segments)
    return "--expandable-segments: while capturing, NCCL registers what it sends, and takes it for one piece";
  if (config.activation_checkpointing)
    return "--activation-checkpointing: it goes back to random states on the host";
  if (config.shard_optimizer == "on")
    return "--shard-optimizer on: parameters travel in the middle of the update";
  if (config.sync_batchnorm_group_size > 0)
    return "--sync-batchnorm-group-size: a replay is watched over by one communicator, and groups are "
           "another";
  if (config.check_drift_every_n_steps == 1)
    return "--check-drift-every-n-steps 1: it reads the parameters before every step";
  if (config.record_hashes) return "--record-hashes: it reads every step's tensors on the host";
  if (config.trace) return "--trace: it follows a step on the host, which does nothing in a replay";
  return {};
}

void check_cuda_graph(const TrainConfig& config) {
  if (config.cuda_graph != "on") return;
  const std::string reason = why_not_captured(config);
  if (!reason.empty())
    throw std::invalid_argument("--cuda-graph on with " + reason + "; leave one of them out");
}

}  // namespace lockstep

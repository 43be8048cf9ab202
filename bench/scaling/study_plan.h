// The measurements that a study of scaling is made of: each one a `lockstep bench` of its own.
#pragma once

#include <string>
#include <vector>

#include "bench/config/scaling_config.h"

namespace lockstep {

enum class StudyPart {
  kAlone,      // the step on one rank, and its profile
  kAllReduce,  // ours, and on a wire the raw TCP stream beside it
  kPeers,      // ours beside Gloo and MPI, where peers are asked for
  kStep,       // the step on several ranks, computed and replayed; on one rank, with no link, replayed
};

struct StudyTask {
  StudyPart part = StudyPart::kAlone;
  std::string name;       // of its files: "step-10gbit-2-resnet18"
  std::string link = {};  // empty for one rank
  int ranks = 1;
  std::string workload = {};           // empty for all-reduces
  std::int64_t batch_size = 0;         // samples per rank; of a step
  std::vector<std::string> arguments;  // of `lockstep bench`, but for --json FILE
  std::string profile = {};            // kAlone writes it, kStep replays it: a file's name in the folder

  bool on_wire() const { return !link.empty() && link != kSharedMemoryLink; }
  // For people: "resnet18 over 10gbit, 2 ranks".
  std::string title() const;
  // Equal where the same is measured in the same way, whatever the folder.
  std::string identity() const;
};

// In the order in which they are to be done: what others need comes first.
std::vector<StudyTask> plan_study(const ScalingConfig& config);

}  // namespace lockstep

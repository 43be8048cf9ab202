// The steps that docs/bench.md reports. An MLP's step is over in milliseconds, hence several in a turn.
#include <algorithm>
#include <stdexcept>

#include "bench/config/step_config.h"
#include "bench/config/text_values.h"

namespace lockstep {

const std::vector<Workload>& named_workloads() {
  static const std::vector<Workload> table = {
      {"mlp-512", "mlp", {512, 512}, {1, 28, 28}, 10, 64, 20, 0, 0},
      {"mlp-4096", "mlp", {4096, 4096}, {1, 28, 28}, 10, 16, 3, 0, 0},
      {"resnet18", "resnet18", {}, {3, 64, 64}, 1000, 16, 2, 0, 0},
      {"resnet50", "resnet50", {}, {3, 96, 96}, 1000, 4, 1, 0, 0},
      {"gpt2-mini", "gpt2-mini", {}, {}, 0, 4, 2, 128, 4096},
  };
  return table;
}

std::vector<Workload> workloads_of(const StepConfig& config) {
  std::vector<Workload> asked_for;
  if (!config.model.empty()) {
    const bool mlp = config.model == "mlp";
    asked_for.push_back({config.model, config.model,
                         mlp ? parse_sizes(config.hidden) : std::vector<std::int64_t>(),
                         parse_sizes(config.sample_sizes), config.num_classes, config.batch_size, 1,
                         config.sequence_length, config.vocabulary_size});
  } else if (config.workload == "all") {
    asked_for = named_workloads();
  } else {
    for (const std::string& name : split_list(config.workload)) {
      const auto& known = named_workloads();
      const auto found =
          std::find_if(known.begin(), known.end(), [&](const auto& row) { return row.name == name; });
      if (found == known.end()) {
        throw std::invalid_argument("--workload: " + quoted(config.workload) +
                                    " must be all, or names of workloads (--help lists them)");
      }
      asked_for.push_back(*found);
    }
  }
  if (asked_for.empty()) throw std::invalid_argument("--workload: at least one is needed; --help lists them");
  for (Workload& workload : asked_for) {
    if (config.steps > 0) workload.steps = config.steps;
  }
  return asked_for;
}

}  // namespace lockstep

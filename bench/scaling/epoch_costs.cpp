#include "bench/scaling/epoch_costs.h"

#include <algorithm>

namespace lockstep {
namespace {

EpochRow row_of(const EpochQuestion& question, int ranks, const char* algorithm, const LinkModel& link) {
  StepPrediction step = predict_step(question.profile, link, question.exchange);
  step.step_s += straggling_s(question.mean_delay_s, ranks);
  const std::int64_t samples_a_step = question.profile.batch_size * ranks;
  const std::int64_t steps = (question.samples_per_epoch + samples_a_step - 1) / samples_a_step;
  EpochRow row{ranks, algorithm, step.step_s, step.exposed_s};
  row.efficiency = question.profile.step_s() / step.step_s;
  row.samples_per_s = static_cast<double>(samples_a_step) / step.step_s;
  row.epoch_s = static_cast<double>(steps) * step.step_s;
  row.cost = spend_of(question.price, ranks, row.epoch_s).amount;
  return row;
}

}  // namespace

std::vector<EpochRow> epoch_costs(const EpochQuestion& question) {
  std::vector<int> counts;
  for (int ranks = 1; ranks < question.most_ranks; ranks *= 2) counts.push_back(ranks);
  counts.push_back(question.most_ranks);
  std::vector<EpochRow> rows;
  for (const int ranks : counts) {
    if (question.exchange == Exchange::kAfterBackward) {
      const LinkModel link = ranks == 1 || !question.within ? LinkModel() : *question.within;
      rows.push_back(row_of(question, ranks, "shared memory", link));
      continue;
    }
    rows.push_back(row_of(question, ranks, "ring", ring_all_reduce(question.hop, ranks)));
    const bool whole_hosts = ranks > question.ranks_per_host && ranks % question.ranks_per_host == 0;
    if (question.within && question.ranks_per_host > 1 && whole_hosts) {
      rows.push_back(
          row_of(question, ranks, "hierarchical",
                 hierarchical_all_reduce(*question.within, question.hop, ranks, question.ranks_per_host)));
    }
  }
  return rows;
}

}  // namespace lockstep

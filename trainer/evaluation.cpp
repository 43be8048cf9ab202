#include "trainer/evaluation.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>

#include <vector>

#include "comm/sum_rows.h"
#include "sampler/ceil_div.h"
#include "trainer/device_loader.h"
#include "trainer/memory_format.h"
#include "trainer/random_state.h"

namespace lockstep {
namespace {

// Whether the ranks give up, agreed on every so many batches. Those that have fewer batches than others vote
// as often.
class Votes {
 public:
  Votes(Communicator& communicator, const EvaluationOptions& options)
      : communicator_(communicator), options_(options) {}

  bool after_batch() {
    if (!options_.wants_to_stop) return false;
    wants_to_ = options_.wants_to_stop() || wants_to_;
    if (++batches_ % EvaluationOptions::kBatchesPerVote != 0) return false;
    const at::Tensor vote = at::full({1}, wants_to_ ? 1 : 0, at::TensorOptions().dtype(at::kInt));
    communicator_.all_reduce(vote, ReduceOp::kMax)->wait();
    return vote.item<int>() != 0;
  }

 private:
  Communicator& communicator_;
  const EvaluationOptions& options_;
  std::int64_t batches_ = 0;
  bool wants_to_ = false;
};

}  // namespace

Evaluation evaluate(Model& model, const std::shared_ptr<const Dataset>& dataset, Communicator& communicator,
                    LogicalRanks& logical_ranks, const EvaluationOptions& options) {
  const at::NoGradGuard no_grad;
  model.eval();
  DeviceLoader loader(dataset,
                      {.batch_size = options.batch_size,
                       .num_workers = options.num_workers,
                       .pin_memory = options.device.is_cuda()},
                      options.device);
  // By logical rank and head the sum of losses, right answers, answers; on the device, so that the host does
  // not wait for each batch.
  const std::int64_t sums_per_rank = 3 * model.num_heads();
  const at::Tensor sums = at::zeros({logical_ranks.world_size(), model.num_heads(), 3},
                                    at::TensorOptions().dtype(at::kDouble).device(options.device));
  const std::int64_t most_samples = ceil_div(dataset->size(), logical_ranks.world_size());
  const std::int64_t most_batches = ceil_div(most_samples, options.batch_size);
  Votes votes(communicator, options);
  bool abandoned = false;
  for (int index = 0; index < logical_ranks.count() && !abandoned; ++index) {
    const int rank = logical_ranks.first() + index;
    logical_ranks.enter(index);
    draw_data_loader_seed();
    std::vector<std::int64_t> samples;
    for (std::int64_t i = rank; i < dataset->size(); i += logical_ranks.world_size()) samples.push_back(i);
    loader.start_epoch(std::move(samples));
    at::Tensor own = sums[rank];
    for (std::int64_t i = 0; i < most_batches && !abandoned; ++i) {
      if (const auto batch = loader.next()) {
        const AutocastGuard autocast(options.precision, options.device.type());
        own += model.score(model.forward(laid_out(batch->data, options.memory_format)), batch->target);
        loader.prefetch();
      }
      abandoned = votes.after_batch();
    }
  }
  model.train();
  if (abandoned) return {.abandoned = true};
  // Each row comes from one rank, so that this sum is exact; what decides bits is the next.
  const at::Tensor rows = sums.to(at::kCPU);
  communicator.all_reduce(rows)->wait();
  const at::Tensor sum = at::empty({sums_per_rank}, rows.options());
  sum_rows(sum, rows.view({logical_ranks.world_size(), sums_per_rank}), communicator.reduction_order());
  const auto* total = sum.const_data_ptr<double>();
  Evaluation evaluation{.accuracy = total[1] / total[2], .samples = dataset->size()};
  for (std::int64_t head = 0; head < sums_per_rank; head += 3)
    evaluation.loss += total[head] / total[head + 2];
  return evaluation;
}

}  // namespace lockstep

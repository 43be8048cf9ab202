// lockstep-estimate: what `lockstep estimate` starts.
#include <algorithm>
#include <cstdio>
#include <future>
#include <string>
#include <vector>

#include "sampler/ceil_div.h"
#include "sampler/datasets.h"
#include "trainer/bill/tariff_options.h"
#include "trainer/config/estimate_config.h"
#include "trainer/config/file_program.h"
#include "trainer/data_options.h"
#include "trainer/estimate/dry_run.h"
#include "trainer/estimate/estimate_report.h"
#include "trainer/estimate/price_offers.h"
#include "trainer/warm_heap.h"

namespace {

using namespace lockstep;

std::vector<Offer> offers_of(const TrainConfig& config) {
  return price_offers(read_price_table(table_of(config.price_table)),
                      {.gpu_type = config.gpu_type,
                       .region = config.region,
                       .spot = config.spot,
                       .own = {config.price_per_gpu_hour, config.currency}});
}

void estimate(const EstimateConfig& config) {
  const std::vector<Offer> offers = offers_of(config.train);
  keep_heap_warm();  // as a run does: it decides how much stays resident
  const TrainConfig& train = config.train;
  // In a thread, as in a run: glibc keeps that thread's memory apart.
  const TrainAndTest data =
      std::async(std::launch::async, [&] { return open_dataset(train.data, dataset_options(train)); }).get();
  DryRun run = dry_run(train, *data.train);

  const int ranks = config.nproc_per_node * config.nnodes;
  // A hook that rounds to half the bytes sends a copy of the bucket that is on its way.
  if (train.comm_hook != "none") run.memory.communication = run.memory.gradients / 2.0;
  const bool zero_everywhere = train.shard_optimizer == "on" && ranks > 1;
  if (zero_everywhere) run.memory.optimizer /= ranks;
  const bool zero_here = train.shard_optimizer == "auto" && config.nnodes == 1;

  PlannedRun planned;
  planned.batch_size = train.batch_size;
  // No batch is larger than what there is to evaluate.
  planned.eval_batch_size = std::min(eval_batch_size(train), ceil_div(data.test->size(), ranks));
  planned.ranks = ranks;
  const double by_epochs = static_cast<double>(train.max_epochs) * static_cast<double>(data.train->size());
  const double by_steps = static_cast<double>(train.max_steps) * static_cast<double>(train.batch_size) *
                          static_cast<double>(train.accumulate_grad_batches) * ranks;
  planned.total_samples =
      static_cast<std::int64_t>(train.max_steps >= 0 && by_steps < by_epochs ? by_steps : by_epochs);
  planned.flops_per_sample = run.flops_per_sample;
  if (train.precision == "bf16-mixed") planned.arithmetic = Arithmetic::kBfloat16;
  if (train.precision == "16-mixed") planned.arithmetic = Arithmetic::kFloat16;
  planned.efficiency = config.efficiency;

  const EstimateFacts facts{.model = train.model,
                            .num_parameters = run.num_parameters,
                            .data = train.data,
                            .optimizer = train.optimizer,
                            .precision = train.precision,
                            .activation_checkpointing = train.activation_checkpointing,
                            .sequence_length = data.train->shape().sequence_length,
                            .optimizer_ranks = zero_here ? ranks : 1,
                            .host_overhead_bytes = run.overhead_bytes,
                            .host_kernels_per_sample = run.kernels_per_sample,
                            .host_kernels_per_evaluated_sample = run.kernels_per_evaluated_sample};
  const auto rows = estimate_offers(offers, run.memory, planned);
  const auto print = config.json ? estimate_json : estimate_text;
  std::fputs(print(facts, run.memory, planned, rows).c_str(), stdout);
}

}  // namespace

int main(int argc, char** argv) {
  return run_file_program(argc, argv, estimate_help, [](const auto& arguments) {
    estimate(parse_estimate_command(arguments));
    return ExitCode::kFinished;
  });
}

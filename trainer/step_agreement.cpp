#include "trainer/step_agreement.h"

#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "comm/fold.h"

namespace lockstep {
namespace {

DecisionFlag flag(int index) {
  return static_cast<DecisionFlag>(1U << static_cast<unsigned>(index));
}

// As an all-reduce of one number over so many ranks gives it, whoever holds the numbers.
double sum_over_ranks(std::span<const double> values, const Communicator& communicator) {
  std::vector<const void*> inputs;
  for (const double& value : values) inputs.push_back(&value);
  double sum = 0.0;
  void* const into = &sum;
  fold_ranks({&into, 1}, inputs, 0, 1, ring_chunks(1, sizeof sum, static_cast<int>(values.size())),
             {.dtype = at::kDouble, .order = communicator.reduction_order()});
  return sum;
}

}  // namespace

StepAgreement::StepAgreement(CommunicatorPtr communicator, int ranks, int first)
    : communicator_(std::move(communicator)),
      ranks_(ranks),
      first_(first),
      ballot_(at::zeros({ranks + kDecisionFlagCount}, at::TensorOptions().dtype(at::kDouble))) {}

void StepAgreement::post(Decision mine, std::span<const double> losses) {
  double* ballot = ballot_.mutable_data_ptr<double>();
  std::fill(ballot, ballot + ranks_, 0.0);
  std::copy(losses.begin(), losses.end(), ballot + first_);
  for (int i = 0; i < kDecisionFlagCount; ++i) ballot[ranks_ + i] = mine.has(flag(i)) ? 1.0 : 0.0;
  work_ = communicator_->all_reduce(ballot_);
}

AgreedStep StepAgreement::wait() {
  std::exchange(work_, nullptr)->wait();
  const double* ballot = ballot_.const_data_ptr<double>();
  AgreedStep agreed;
  agreed.mean_loss = sum_over_ranks({ballot, static_cast<std::size_t>(ranks_)}, *communicator_) / ranks_;
  while (agreed.first_bad_rank < ranks_ && std::isfinite(ballot[agreed.first_bad_rank]))
    ++agreed.first_bad_rank;
  for (int i = 0; i < kDecisionFlagCount; ++i) {
    if (ballot[ranks_ + i] > 0.0) agreed.decision.add(flag(i));
  }
  return agreed;
}

}  // namespace lockstep

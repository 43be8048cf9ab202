#include "trainer/step_agreement.h"

#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <utility>

#include "comm/sum_rows.h"

namespace lockstep {
namespace {

DecisionFlag flag(int index) {
  return static_cast<DecisionFlag>(1U << static_cast<unsigned>(index));
}

}  // namespace

StepAgreement::StepAgreement(CommunicatorPtr communicator, int ranks, int first)
    : communicator_(std::move(communicator)),
      ranks_(ranks),
      first_(first),
      ballot_(at::zeros({ranks + kDecisionFlagCount + communicator_->world_size()},
                        at::TensorOptions().dtype(at::kDouble))),
      losses_(ballot_.narrow(0, 0, ranks).view({ranks, 1})),
      sum_(at::zeros({1}, ballot_.options())) {}

void StepAgreement::post(Decision mine, std::span<const double> losses, double fingerprint) {
  double* ballot = ballot_.mutable_data_ptr<double>();
  std::fill(ballot, ballot + ranks_, 0.0);
  std::copy(losses.begin(), losses.end(), ballot + first_);
  for (int i = 0; i < kDecisionFlagCount; ++i) ballot[ranks_ + i] = mine.has(flag(i)) ? 1.0 : 0.0;
  double* fingerprints = ballot + ranks_ + kDecisionFlagCount;
  std::fill(fingerprints, fingerprints + communicator_->world_size(), 0.0);
  fingerprints[communicator_->rank()] = fingerprint;
  work_ = communicator_->all_reduce(ballot_);
}

AgreedStep StepAgreement::wait() {
  std::exchange(work_, nullptr)->wait();
  const double* ballot = ballot_.const_data_ptr<double>();
  AgreedStep agreed;
  // As an all-reduce of one number over so many ranks gives it, whoever holds the numbers.
  sum_rows(sum_, losses_, communicator_->reduction_order());
  agreed.mean_loss = *sum_.const_data_ptr<double>() / ranks_;
  while (agreed.first_bad_rank < ranks_ && std::isfinite(ballot[agreed.first_bad_rank]))
    ++agreed.first_bad_rank;
  for (int i = 0; i < kDecisionFlagCount; ++i) {
    if (ballot[ranks_ + i] > 0.0) agreed.decision.add(flag(i));
  }
  const std::span fingerprints(ballot + ranks_ + kDecisionFlagCount,
                               static_cast<std::size_t>(communicator_->world_size()));
  if (std::adjacent_find(fingerprints.begin(), fingerprints.end(), std::not_equal_to<>()) !=
      fingerprints.end()) {
    agreed.fingerprints.assign(fingerprints.begin(), fingerprints.end());
    agreed.decision.add(DecisionFlag::kDrift);
  }
  return agreed;
}

}  // namespace lockstep

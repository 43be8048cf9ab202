#include "trainer/step_agreement.h"

#include <ATen/ops/zeros.h>

#include <utility>

namespace lockstep {
namespace {

DecisionFlag flag(int index) {
  return static_cast<DecisionFlag>(1U << static_cast<unsigned>(index));
}

}  // namespace

StepAgreement::StepAgreement(CommunicatorPtr communicator)
    : communicator_(std::move(communicator)),
      ballot_(at::zeros({1 + kDecisionFlagCount}, at::TensorOptions().dtype(at::kDouble))) {}

void StepAgreement::post(Decision mine, double loss) {
  double* ballot = ballot_.mutable_data_ptr<double>();
  // A NaN would poison the sum of losses on every rank, which is what their mean is then.
  ballot[0] = loss;
  for (int i = 0; i < kDecisionFlagCount; ++i) ballot[1 + i] = mine.has(flag(i)) ? 1.0 : 0.0;
  work_ = communicator_->all_reduce(ballot_);
}

AgreedStep StepAgreement::wait() {
  std::exchange(work_, nullptr)->wait();
  const double* ballot = ballot_.const_data_ptr<double>();
  AgreedStep agreed;
  agreed.mean_loss = ballot[0] / communicator_->world_size();
  for (int i = 0; i < kDecisionFlagCount; ++i) {
    if (ballot[1 + i] > 0.0) agreed.decision.add(flag(i));
  }
  return agreed;
}

}  // namespace lockstep

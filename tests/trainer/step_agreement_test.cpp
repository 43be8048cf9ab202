#include "trainer/step_agreement.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/comm/rank_threads.h"

namespace lockstep {
namespace {

CommunicatorPtr borrow(Communicator& comm) {
  return {&comm, [](Communicator*) {}};
}

TEST(StepAgreementTest, TheWordIsTheUnionAndTheLossTheMean) {
  testing::run_ranks(3, [](Communicator& comm) {
    StepAgreement agreement(borrow(comm));
    for (int step = 0; step < 3; ++step) {
      Decision mine;
      if (comm.rank() == 1 && step == 1) mine.add(DecisionFlag::kPause);
      if (comm.rank() == 2 && step == 1) mine.add(DecisionFlag::kBudget);
      agreement.post(mine, comm.rank() + step);
      const AgreedStep agreed = agreement.wait();
      EXPECT_EQ(agreed.mean_loss, 1.0 + step);
      EXPECT_EQ(agreed.decision.has(DecisionFlag::kPause), step == 1);
      EXPECT_EQ(agreed.decision.has(DecisionFlag::kBudget), step == 1);
      EXPECT_FALSE(agreed.decision.has(DecisionFlag::kFailure));
      EXPECT_EQ(agreed.decision.empty(), step != 1);  // a vote does not linger
    }
  });
}

TEST(StepAgreementTest, ANanIsSeenByAll) {
  testing::run_ranks(2, [](Communicator& comm) {
    StepAgreement agreement(borrow(comm));
    Decision mine;
    if (comm.rank() == 1) mine.add(DecisionFlag::kNonFiniteLoss);
    agreement.post(mine, comm.rank() == 1 ? std::numeric_limits<double>::quiet_NaN() : 1.0);
    const AgreedStep agreed = agreement.wait();
    EXPECT_TRUE(agreed.decision.has(DecisionFlag::kNonFiniteLoss));
    EXPECT_TRUE(std::isnan(agreed.mean_loss));
  });
}

TEST(DecisionTest, EveryFlagHasABitOfItsOwn) {
  Decision decision;
  for (int i = 0; i < kDecisionFlagCount; ++i) {
    const auto flag = static_cast<DecisionFlag>(1U << static_cast<unsigned>(i));
    EXPECT_FALSE(decision.has(flag));
    decision.add(flag);
    EXPECT_TRUE(decision.has(flag));
  }
  EXPECT_EQ(decision.word(), (1U << static_cast<unsigned>(kDecisionFlagCount)) - 1);
}

}  // namespace
}  // namespace lockstep

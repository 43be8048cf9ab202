#include "trainer/step_agreement.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "tests/comm/rank_threads.h"

namespace lockstep {
namespace {

CommunicatorPtr borrow(Communicator& comm) {
  return {&comm, [](Communicator*) {}};
}

TEST(StepAgreementTest, TheWordIsTheUnionAndTheLossTheMean) {
  testing::run_ranks(3, [](Communicator& comm) {
    StepAgreement agreement(borrow(comm), 3, comm.rank());
    for (int step = 0; step < 3; ++step) {
      Decision mine;
      if (comm.rank() == 1 && step == 1) mine.add(DecisionFlag::kPause);
      if (comm.rank() == 2 && step == 1) mine.add(DecisionFlag::kBudget);
      const double loss[] = {static_cast<double>(comm.rank() + step)};
      agreement.post(mine, loss);
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
    StepAgreement agreement(borrow(comm), 2, comm.rank());
    Decision mine;
    if (comm.rank() == 1) mine.add(DecisionFlag::kNonFiniteLoss);
    const double loss[] = {comm.rank() == 1 ? std::numeric_limits<double>::quiet_NaN() : 1.0};
    agreement.post(mine, loss);
    const AgreedStep agreed = agreement.wait();
    EXPECT_TRUE(agreed.decision.has(DecisionFlag::kNonFiniteLoss));
    EXPECT_TRUE(std::isnan(agreed.mean_loss));
    EXPECT_EQ(agreed.first_bad_rank, 1);
  });
}

// 0.1, 0.2, ... add up to other last bits in other orders.
TEST(StepAgreementTest, TheMeanHasTheSameBitsWhoeverHasTheLosses) {
  constexpr int kLogicalRanks = 6;
  std::vector<double> means;
  for (const int world_size : {1, 2, 3, 6}) {
    testing::run_ranks(world_size, [&](Communicator& comm) {
      const int count = kLogicalRanks / world_size;
      std::vector<double> losses;
      for (int rank = comm.rank() * count; rank < (comm.rank() + 1) * count; ++rank)
        losses.push_back(0.1 * (rank + 1));
      StepAgreement agreement(borrow(comm), kLogicalRanks, comm.rank() * count);
      agreement.post({}, losses);
      const AgreedStep agreed = agreement.wait();
      EXPECT_EQ(agreed.first_bad_rank, kLogicalRanks);
      if (comm.rank() == 0) means.push_back(agreed.mean_loss);
    });
  }
  // Chunk 0 of a ring: from the last rank to the first.
  double sum = 0.1 * 6;
  for (int rank = 5; rank > 0; --rank) sum += 0.1 * rank;
  EXPECT_EQ(means, std::vector<double>(4, sum / 6));
}

TEST(StepAgreementTest, FingerprintsThatDifferAreDrift) {
  constexpr double kLargest = 9007199254740991.0;  // 2^53 - 1
  testing::run_ranks(3, [](Communicator& comm) {
    StepAgreement agreement(borrow(comm), 3, comm.rank());
    const double loss[] = {0.5};
    agreement.post({}, loss, kLargest);
    EXPECT_TRUE(agreement.wait().decision.empty());
    agreement.post({}, loss);  // a step that compares nothing
    EXPECT_TRUE(agreement.wait().decision.empty());
    agreement.post({}, loss, comm.rank() == 1 ? kLargest - 1 : kLargest);
    const AgreedStep agreed = agreement.wait();
    EXPECT_TRUE(agreed.decision.has(DecisionFlag::kDrift));
    EXPECT_EQ(agreed.fingerprints, (std::vector<double>{kLargest, kLargest - 1, kLargest}));
    EXPECT_EQ(agreed.mean_loss, 0.5);
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

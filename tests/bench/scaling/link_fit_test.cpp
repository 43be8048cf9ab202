#include "bench/scaling/link_fit.h"

#include <gtest/gtest.h>

#include <stdexcept>

namespace lockstep {
namespace {

TEST(FitAllReduce, AnExactLineLeavesNoResidual) {
  const LinkFit fit = fit_all_reduce({{1000, 1.1e-3, 0}, {10'000, 2e-3, 0}, {100'000, 11e-3, 0}});
  EXPECT_NEAR(fit.all_reduce.latency_s, 1e-3, 1e-12);
  EXPECT_NEAR(fit.all_reduce.s_per_byte, 1e-7, 1e-16);
  EXPECT_NEAR(fit.worst_residual(), 0.0, 1e-9);
}

TEST(FitAllReduce, AResidualIsWhatIsMeasuredOverWhatIsFitted) {
  const LinkFit fit = fit_all_reduce({{1000, 1.0, 0}, {2000, 2.2, 0}, {3000, 3.0, 0}});
  for (const FitPoint& point : fit.points) {
    const double line =
        fit.all_reduce.latency_s + static_cast<double>(point.bytes) * fit.all_reduce.s_per_byte;
    EXPECT_NEAR(point.fitted_s, line, 1e-12);
    EXPECT_NEAR(point.residual(), point.measured_s / line - 1.0, 1e-12);
  }
  EXPECT_GT(fit.points[1].residual(), 0.0);  // above the line
  EXPECT_LT(fit.points[2].residual(), 0.0);
  EXPECT_GT(fit.worst_residual(), 0.01);
}

// A message takes 1 ms and 1 us a byte. Four ranks: 6 messages, each of a quarter.
TEST(RingAllReduce, IsTwiceOneLessThanTheRanksMessages) {
  const LinkModel four = ring_all_reduce({1e-3, 1e-6}, 4);
  EXPECT_NEAR(four.latency_s, 6e-3, 1e-15);
  EXPECT_NEAR(four.s_per_byte, 1.5e-6, 1e-18);
  const LinkModel one = ring_all_reduce({1e-3, 1e-6}, 1);
  EXPECT_EQ(one.latency_s, 0.0);
  EXPECT_EQ(one.s_per_byte, 0.0);
  // 1,024 ranks send almost everything twice.
  EXPECT_NEAR(ring_all_reduce({0, 1e-6}, 1024).s_per_byte, 2046e-6 / 1024, 1e-15);
}

TEST(HopOf, UndoesTheRing) {
  for (const int ranks : {2, 3, 4, 7}) {
    const LinkModel hop = hop_of(ring_all_reduce({3e-4, 2e-9}, ranks), ranks);
    EXPECT_NEAR(hop.latency_s, 3e-4, 1e-15);
    EXPECT_NEAR(hop.s_per_byte, 2e-9, 1e-20);
  }
  EXPECT_THROW(hop_of({1e-3, 1e-9}, 1), std::invalid_argument);
}

// 16 ranks, 8 a host: what a host takes, then two messages of a half between two hosts.
TEST(HierarchicalAllReduce, CrossesTheWireOncePerHost) {
  const LinkModel both = hierarchical_all_reduce({1e-5, 1e-10}, {1e-4, 1e-9}, 16, 8);
  EXPECT_NEAR(both.latency_s, 1e-5 + 2e-4, 1e-15);
  EXPECT_NEAR(both.s_per_byte, 1e-10 + 1e-9, 1e-20);
}

TEST(HierarchicalAllReduce, WithinAHostTheWireIsNotUsed) {
  const LinkModel within = hierarchical_all_reduce({1e-5, 1e-10}, {1e-4, 1e-9}, 4, 8);
  EXPECT_EQ(within.latency_s, 1e-5);
  EXPECT_EQ(within.s_per_byte, 1e-10);
  EXPECT_THROW(hierarchical_all_reduce({0, 0}, {0, 0}, 12, 8), std::invalid_argument);
}

// Two ranks took 1 ms and 1 ns a byte, of which half was their own work. Four ranks on two cores: six times
// the messages (4 * 6 for 2 * 2) and three times the bytes, by two cores at once; to that comes the other
// half, three times the messages of each and 3/2 of the bytes.
TEST(OnSharedCores, NoRingIsDoneBeforeItsWork) {
  const SharedCores measured{.all_reduce = {1e-3, 1e-9}, .cpu = {1e-3, 1e-9}, .ranks = 2, .cores = 2};
  const LinkModel four = on_shared_cores(measured, 4);
  EXPECT_NEAR(four.latency_s, 3e-3 + 1.5e-3, 1e-15);
  EXPECT_NEAR(four.s_per_byte, 1.5e-9 + 0.75e-9, 1e-20);
  const LinkModel two = on_shared_cores(measured, 2);
  EXPECT_NEAR(two.latency_s, 1e-3, 1e-15);
  EXPECT_NEAR(two.s_per_byte, 1e-9, 1e-20);
}

// Three times the messages of two, a third for each rank, in two turns; and twice the waiting.
TEST(OnSharedCores, RoundsOfThreeRanksTakeTheTurnsOfFour) {
  const SharedCores measured{.all_reduce = {1e-3, 1e-9}, .cpu = {1e-3, 1e-9}, .ranks = 2, .cores = 2};
  EXPECT_NEAR(on_shared_cores(measured, 3).latency_s, 2e-3 + 1e-3, 1e-15);
}

TEST(OnSharedCores, ASlowWireLeavesTheCoresIdle) {
  const SharedCores measured{
      .all_reduce = {1e-3, 1.1e-8}, .cpu = {1e-4, 1e-9}, .wire_s_per_byte = 1e-8, .ranks = 2, .cores = 2};
  const LinkModel four = on_shared_cores(measured, 4);
  EXPECT_NEAR(four.s_per_byte, 1.5e-8 + 0.15e-8, 1e-18);
  EXPECT_NEAR(four.latency_s, 3e-4 + 3 * 0.95e-3, 1e-15);
}

TEST(SharedMemoryAllReduce, RanksTakeTurnsWhereCoresAreFewer) {
  const LinkModel two{1e-5, 1e-10};
  EXPECT_EQ(shared_memory_all_reduce(two, 2, 4, 8).s_per_byte, 1e-10);
  EXPECT_NEAR(shared_memory_all_reduce(two, 2, 4, 2).s_per_byte, 2e-10, 1e-20);
  EXPECT_NEAR(shared_memory_all_reduce(two, 2, 3, 2).latency_s, 1.5e-5, 1e-18);
  // Measured with four on two cores, two are as much quicker.
  EXPECT_NEAR(shared_memory_all_reduce(two, 4, 2, 2).latency_s, 5e-6, 1e-18);
}

}  // namespace
}  // namespace lockstep

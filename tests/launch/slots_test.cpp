#include "launch/slots.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/trainer/config/refusal.h"

namespace lockstep {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(Slots, WithoutMinNprocNothingEverChanges) {
  Slots slots({.nproc_per_node = 4, .nnodes = 2, .hosts = 2, .min_nproc = 0, .logical_world_size = 8});
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(slots.failed(3, false));
  EXPECT_EQ(slots.choice().world_size(), 8);
}

TEST(Slots, OneFailureIsAnAccidentTheSecondRunningLeavesARankOut) {
  Slots slots({.nproc_per_node = 8, .nnodes = 1, .hosts = 1, .min_nproc = 2, .logical_world_size = 8});
  EXPECT_FALSE(slots.failed(3, true));
  EXPECT_FALSE(slots.failed(5, true));  // another one
  const auto said = slots.failed(5, false);
  ASSERT_TRUE(said);
  // 7 slots are left, and the largest divisor of 8 that fits is 4.
  EXPECT_EQ(slots.choice().nproc_per_node, 4);
  EXPECT_THAT(*said, HasSubstr("rank 5 keeps failing: goes on with 4 ranks, not 8"));
  EXPECT_THAT(*said, HasSubstr("the same 8 logical ranks"));
}

TEST(Slots, WhatWasLeftOutComesBackAfterProgressAndGoesAtOnceIfItFailsAgain) {
  Slots slots({.nproc_per_node = 2, .nnodes = 1, .hosts = 1, .min_nproc = 1, .logical_world_size = 2});
  slots.failed(1, true);
  slots.failed(1, false);
  EXPECT_EQ(slots.choice().world_size(), 1);
  const auto back = slots.failed(0, true);
  ASSERT_TRUE(back);
  EXPECT_THAT(*back, HasSubstr("takes in again what was left out: goes on with 2 ranks, not 1"));
  ASSERT_TRUE(slots.failed(1, false));
  EXPECT_EQ(slots.choice().world_size(), 1);
}

TEST(Slots, AWholeHostIsLeftOutAndASpareTakesItsPlace) {
  Slots slots({.nproc_per_node = 2, .nnodes = 2, .hosts = 3, .min_nproc = 2, .logical_world_size = 4});
  EXPECT_THAT(slots.choice().hosts, ElementsAre(0, 1));
  slots.failed(2, true);
  slots.failed(3, false);  // the same host's other rank
  EXPECT_THAT(slots.choice().hosts, ElementsAre(0, 2));
  EXPECT_EQ(slots.choice().world_size(), 4);
  slots.failed(0, false);
  slots.failed(1, false);
  EXPECT_THAT(slots.choice().hosts, ElementsAre(2));
  EXPECT_EQ(slots.choice().world_size(), 2);
}

TEST(Slots, TheLargestNumberOfRanksThatDividesIsTaken) {
  // Two of three hosts with 4 places each are left, and 12 logical ranks: 6 ranks, 3 on each.
  Slots slots({.nproc_per_node = 4, .nnodes = 3, .hosts = 3, .min_nproc = 1, .logical_world_size = 12});
  slots.failed(0, false);
  slots.failed(0, false);
  EXPECT_EQ(slots.choice().nproc_per_node, 3);
  EXPECT_THAT(slots.choice().hosts, ElementsAre(1, 2));
}

TEST(Slots, AtMostSoManyRanksOnAsFewMachinesAsCanBe) {
  Slots one({.nproc_per_node = 6, .nnodes = 1, .hosts = 1, .most_ranks = 5, .logical_world_size = 6});
  EXPECT_EQ(one.choice().world_size(), 3);  // divides 6
  EXPECT_FALSE(one.failed(0, false));
  EXPECT_FALSE(one.failed(0, false));
  EXPECT_EQ(one.choice().world_size(), 3);
  Slots two({.nproc_per_node = 4, .nnodes = 2, .hosts = 2, .most_ranks = 4, .logical_world_size = 8});
  EXPECT_EQ(two.choice().nproc_per_node, 4);
  EXPECT_THAT(two.choice().hosts, ElementsAre(0));
}

TEST(Slots, FewerThanAskedForAreNotEnough) {
  Slots slots({.nproc_per_node = 3, .nnodes = 1, .hosts = 1, .min_nproc = 2, .logical_world_size = 3});
  slots.failed(2, false);
  expect_refused<std::runtime_error>([&] { slots.failed(2, false); }, {"--min-nproc 2", "3 logical ones"});
}

TEST(Slots, WhereNobodyKnowsWhoFailedAllAreTriedAgain) {
  Slots slots({.nproc_per_node = 2, .nnodes = 1, .hosts = 1, .min_nproc = 1, .logical_world_size = 2});
  EXPECT_FALSE(slots.failed(-1, false));
  EXPECT_FALSE(slots.failed(-1, false));
  EXPECT_EQ(slots.choice().world_size(), 2);
}

}  // namespace
}  // namespace lockstep

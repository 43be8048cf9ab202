#include "launch/rank_end.h"

#include <gtest/gtest.h>

#include "tests/temporary_folder.h"

namespace lockstep {
namespace {

TEST(RankEnd, ComesBackInTheOrderOfTheEnds) {
  const TemporaryFolder folder;
  write_rank_end(folder.path(), {0, 3, 0, 1'700'000'000'000'000'200, -1, "", ""});
  write_rank_end(folder.path(), {11, 0, 9, 1'700'000'000'000'000'100, 6, "in step 7", "fell silent"});
  const auto ends = read_rank_ends(folder.path());
  ASSERT_EQ(ends.size(), 2u);
  EXPECT_EQ(ends[0].rank, 11);
  EXPECT_EQ(ends[0].signal, 9);
  EXPECT_EQ(ends[0].step, 6);
  EXPECT_EQ(ends[0].where, "in step 7");
  EXPECT_EQ(ends[0].cause, "fell silent");
  EXPECT_EQ(ends[1].rank, 0);
  EXPECT_EQ(ends[1].exit_code, 3);
}

TEST(RankEnd, DamagedAndHalfWrittenOnesAreSkipped) {
  const TemporaryFolder folder;
  write_text(folder.path() / "ended-0", "");
  write_text(folder.path() / "ended-1", "1 0");
  write_text(folder.path() / "ended-2", "-2 0 9 5");
  write_text(folder.path() / "ended-3.aBcDeF", "3 0 9 5");
  write_text(folder.path() / "rank-4.json", "{}");
  EXPECT_TRUE(read_rank_ends(folder.path()).empty());
}

TEST(RankEnd, ARankThatStandsStillHasNotEndedUntilItIsEnded) {
  const TemporaryFolder folder;
  write_rank_stop(folder.path(), {1, 0, 19, 100, 6, "in step 7", "was stopped"});
  write_rank_stop(folder.path(), {2, 0, 19, 100, 6, "in step 7", "was stopped"});
  remove_rank_stop(folder.path(), 2);
  ASSERT_EQ(read_rank_ends(folder.path()).size(), 1u);
  write_rank_end(folder.path(), {1, 0, 9, 200, 6, "in step 7", ""});  // by mpirun
  const auto ends = read_rank_ends(folder.path());
  ASSERT_EQ(ends.size(), 1u);
  EXPECT_EQ(ends[0].cause, "was stopped");
  EXPECT_EQ(ends[0].ended_at_ns, 100);
}

TEST(RankEnd, StartsAreCounted) {
  const TemporaryFolder folder;
  EXPECT_EQ(count_rank_starts(folder.path()), 0);
  write_rank_start(folder.path(), 0);
  write_rank_start(folder.path(), 1);
  write_rank_start(folder.path(), 1);
  EXPECT_EQ(count_rank_starts(folder.path()), 2);
}

TEST(RankEnd, AMissingFolderIsNoFailure) {
  write_rank_start("/no/such/folder", 0);
  write_rank_end("/no/such/folder", {});
  EXPECT_EQ(count_rank_starts("/no/such/folder"), 0);
  EXPECT_TRUE(read_rank_ends("/no/such/folder").empty());
}

}  // namespace
}  // namespace lockstep

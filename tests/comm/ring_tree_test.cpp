#include "comm/ring_tree.h"

#include <gtest/gtest.h>

namespace lockstep {
namespace {

using Nodes = std::vector<TreeNode>;

TEST(TreeNodesTest, PowersOfTwoAreOneNodeEach) {
  for (int p = 0; p < 5; ++p) EXPECT_EQ(tree_nodes(20, 4 * p, 4 * (p + 1)), (Nodes{{4 * p, 4 * (p + 1)}}));
  EXPECT_EQ(tree_nodes(3, 1, 2), (Nodes{{1, 2}}));
}

// ((0 1) (2 3)) (4 5).
TEST(TreeNodesTest, OthersAreSeveral) {
  EXPECT_EQ(tree_nodes(6, 0, 3), (Nodes{{0, 2}, {2, 3}}));
  EXPECT_EQ(tree_nodes(6, 3, 6), (Nodes{{3, 4}, {4, 6}}));
  EXPECT_EQ(tree_nodes(6, 0, 6), (Nodes{{0, 6}}));
}

}  // namespace
}  // namespace lockstep

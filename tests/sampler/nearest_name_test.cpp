#include "sampler/nearest_name.h"

#include <gtest/gtest.h>

namespace lockstep {
namespace {

TEST(EditDistance, TextbookPairs) {
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3u);  // the standard example
  EXPECT_EQ(edit_distance("saturday", "sunday"), 3u);
  EXPECT_EQ(edit_distance("", "abc"), 3u);
  EXPECT_EQ(edit_distance("abc", ""), 3u);
  EXPECT_EQ(edit_distance("same", "same"), 0u);
}

TEST(NearestName, FindsTheMistypedName) {
  const std::vector<std::string> known = {"mlp", "convnet", "resnet18", "resnet50"};
  EXPECT_EQ(nearest_name("restnet50", known), "resnet50");
  EXPECT_EQ(nearest_name("convent", known), "convnet");
  EXPECT_EQ(nearest_name("mpl", known), "mlp");
}

TEST(NearestName, TiesGoToTheEarlierName) {
  EXPECT_EQ(nearest_name("resnet", {"resnet18", "resnet50"}), "resnet18");
}

TEST(NearestName, NothingKnownGivesNothing) {
  EXPECT_EQ(nearest_name("x", {}), "");
}

TEST(NearestName, HugeInputIsBounded) {
  EXPECT_EQ(nearest_name(std::string(10'000'000, 'x'), {"xxx", "y"}), "xxx");
}

}  // namespace
}  // namespace lockstep

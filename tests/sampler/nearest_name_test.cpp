#include "sampler/nearest_name.h"

#include <gtest/gtest.h>

namespace lockstep {
namespace {

const std::vector<std::string> kNames = {"fashion-mnist", "mnist", "synthetic"};

TEST(NearestName, IsTheOneWithTheFewestEdits) {
  EXPECT_EQ(nearest_name("mnits", kNames), "mnist");
  EXPECT_EQ(nearest_name("fashion_mnist", kNames), "fashion-mnist");
  EXPECT_EQ(nearest_name("sintetic", kNames), "synthetic");
  EXPECT_EQ(nearest_name("mnist", kNames), "mnist");
}

TEST(NearestName, IsEmptyWhereNoneIsNear) {
  EXPECT_EQ(nearest_name("imagenet21k", kNames), "");
  EXPECT_EQ(nearest_name("", kNames), "");
  EXPECT_EQ(nearest_name("x", {"y"}), "");
  EXPECT_EQ(nearest_name("mnist", {}), "");
  EXPECT_EQ(nearest_name(std::string(100000, 'm'), kNames), "");
}

}  // namespace
}  // namespace lockstep

#include "trainer/compare/step_hashes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "sampler/data_error.h"
#include "tests/temporary_folder.h"

namespace lockstep {
namespace {

using ::testing::HasSubstr;
using Steps = std::map<std::int64_t, StepHashes>;

StepHashes step(const std::string& mark) {
  return {{"i0" + mark, "i1" + mark},
          {{"w", {"gw0" + mark, "gw1" + mark}}, {"b", {"gb0" + mark, "gb1" + mark}}},
          {{"w", "rw" + mark}, {"b", "rb" + mark}},
          {{"w", "ww" + mark}, {"b", "wb" + mark}}};
}

TEST(CompareHashes, EqualSteps) {
  const HashDifference found =
      compare_hashes({{1, step("x")}, {2, step("y")}}, {{1, step("x")}, {3, step("z")}});
  EXPECT_TRUE(found.equal());
  EXPECT_EQ(found.steps, 1);
  EXPECT_EQ(found.only_in_a, 1);
  EXPECT_EQ(found.only_in_b, 1);
}

// A step's stages in the order in which one follows from the other.
TEST(CompareHashes, NamesTheFirstStage) {
  const Steps a{{1, step("x")}, {2, step("x")}};
  Steps b = a;
  b[2].weights[0].second = "other";
  HashDifference found = compare_hashes(a, b);
  EXPECT_EQ(found.step, 2);
  EXPECT_EQ(found.stage, "weights");
  EXPECT_EQ(found.what, "w");
  EXPECT_EQ(found.different_in_stage, 1);
  EXPECT_EQ(found.in_stage, 2);
  b[2].reduced[1].second = "other";
  found = compare_hashes(a, b);
  EXPECT_EQ(found.stage, "reduced gradients");
  EXPECT_EQ(found.what, "b");
  b[2].gradients[1].second[1] = "other";
  b[2].gradients[0].second[1] = "other";
  found = compare_hashes(a, b);
  EXPECT_EQ(found.stage, "gradients");
  EXPECT_EQ(found.what, "w of rank 1");
  EXPECT_EQ(found.different_in_stage, 2);
  EXPECT_EQ(found.in_stage, 4);
  b[2].inputs[1] = "other";
  found = compare_hashes(a, b);
  EXPECT_EQ(found.stage, "inputs");
  EXPECT_EQ(found.what, "rank 1");
  b[1].weights[1].second = "other";
  EXPECT_EQ(compare_hashes(a, b).step, 1);
}

TEST(CompareHashes, OrderOfNamesIsNoDifference) {
  Steps b{{1, step("x")}};
  std::swap(b[1].weights[0], b[1].weights[1]);
  EXPECT_TRUE(compare_hashes({{1, step("x")}}, b).equal());
}

TEST(CompareHashes, RefusesOtherRanksAndParameters) {
  Steps b{{1, step("x")}};
  b[1].inputs.pop_back();
  EXPECT_THROW(compare_hashes({{1, step("x")}}, b), DataError);
  b = {{1, step("x")}};
  b[1].gradients[1].first = "c";
  try {
    compare_hashes({{1, step("x")}}, b);
    FAIL() << "accepted";
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), HasSubstr("b of rank 0 is not among them"));
  }
}

TEST(ReadHashes, ReadsLinesAndNamesWhatIsNone) {
  const TemporaryFolder folder;
  const auto file = folder.path() / "hashes.jsonl";
  const std::string line = R"({"step":4,"inputs":["a","b"],"gradients":{"z":["c","d"],"y":["e","f"]},)"
                           R"("reduced":{"z":"g","y":"h"},"weights":{"z":"i","y":"j"}})";
  std::ofstream(file) << line << "\n" << line.substr(0, 30);
  const auto steps = read_hashes(file);
  ASSERT_EQ(steps.size(), 1U);
  EXPECT_EQ(steps.at(4).gradients[0].first, "z");
  EXPECT_EQ(steps.at(4).gradients[1].second[1], "f");
  EXPECT_EQ(steps.at(4).weights[1].second, "j");
  for (const char* bad : {"{}\n", "[]\n", "x\n", "{\"step\":\"1\"}\n"}) {
    std::ofstream(file) << line << "\n" << bad;
    EXPECT_THROW(read_hashes(file), DataError) << bad;
  }
}

}  // namespace
}  // namespace lockstep

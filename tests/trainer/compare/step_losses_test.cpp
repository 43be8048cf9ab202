#include "trainer/compare/step_losses.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "sampler/data_error.h"
#include "tests/temporary_folder.h"

namespace lockstep {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

class StepLossesTest : public ::testing::Test {
 protected:
  StepLosses read(const std::string& text) {
    const auto file = folder_.path() / "log.jsonl";
    std::ofstream(file) << text;
    return read_losses(file);
  }
  std::string refusal(const std::string& text) {
    try {
      read(text);
    } catch (const DataError& error) {
      return error.what();
    }
    return "accepted";
  }
  TemporaryFolder folder_;
};

TEST_F(StepLossesTest, ReadsALogOfPython) {
  EXPECT_THAT(read("{\"step\": 1, \"loss\": 2.5}\n{\"lr\": 0.1}\n\n{\"step\": 2, \"loss\": 2}\n"),
              ElementsAre(Pair(1, 2.5), Pair(2, 2.0)));
}

TEST_F(StepLossesTest, ReadsTrainLinesOfARunOnlyAndTheLastAttempt) {
  EXPECT_THAT(read(R"({"kind":"start","step":0}
{"kind":"train","attempt":1,"step":5,"loss":1.5}
{"kind":"eval","step":5,"loss":9}
{"kind":"train","attempt":2,"step":5,"loss":1.25}
{"kind":"train","att)"),  // torn
              ElementsAre(Pair(5, 1.25)));
  const StepLosses nan = read("{\"kind\":\"train\",\"step\":1,\"loss\":null,\"loss_text\":\"nan\"}\n");
  EXPECT_TRUE(std::isnan(nan.at(1)));
}

TEST_F(StepLossesTest, NamesTheLineThatIsNone) {
  EXPECT_THAT(refusal("{\"step\": 1, \"loss\": 2}\nhello\n"),
              HasSubstr("log.jsonl:2: this is no JSON object"));
  EXPECT_THAT(refusal("[1]\n"), HasSubstr("log.jsonl:1: this is no JSON object"));
  EXPECT_THAT(refusal("{\"loss\": 2}\n"), HasSubstr("\"step\" is no whole number"));
  EXPECT_THAT(refusal("{\"step\": 1, \"loss\": \"x\"}\n"), HasSubstr("\"loss\" is no number"));
  EXPECT_THROW(read_losses(folder_.path() / "none"), DataError);
}

TEST(CompareLosses, NamesTheFirstAndTheLargest) {
  const LossDifference found =
      compare_losses({{1, 2.0}, {2, 1.0}, {3, 0.5}, {9, 0.0}}, {{1, 2.0}, {2, 1.25}, {3, -0.5}, {4, 7.0}});
  EXPECT_FALSE(found.equal());
  EXPECT_EQ(found.steps, 3);
  EXPECT_EQ(found.steps_different, 2);
  EXPECT_EQ(found.first->step, 2);
  EXPECT_EQ(found.first->b, 1.25);
  EXPECT_EQ(found.largest->step, 3);
  EXPECT_EQ(found.only_in_a, 1);
  EXPECT_EQ(found.only_in_b, 1);
}

TEST(CompareLosses, TheLastBitCounts) {
  EXPECT_TRUE(compare_losses({{1, 0.1}}, {{1, 0.1}}).equal());
  EXPECT_FALSE(compare_losses({{1, 0.1}}, {{1, std::nextafter(0.1, 1.0)}}).equal());
  const LossDifference nan = compare_losses({{1, 0.1}, {2, std::nan("")}}, {{1, 5.0}, {2, 1.0}});
  EXPECT_EQ(nan.largest->step, 2);
}

}  // namespace
}  // namespace lockstep

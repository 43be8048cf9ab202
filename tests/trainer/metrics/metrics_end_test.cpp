#include "trainer/metrics/metrics_end.h"

#include <gtest/gtest.h>

#include "tests/temporary_folder.h"

namespace lockstep {
namespace {

constexpr const char* kStart = R"({"kind":"start","attempt":1})"
                               "\n";
constexpr const char* kEnd = R"({"kind":"end","attempt":1,"reason":"paused","step":12})"
                             "\n";

std::optional<MetricsEnd> end_of(const std::string& text) {
  const TemporaryFolder folder;
  write_text(folder.path() / "metrics.jsonl", text);
  return last_metrics_end(folder.path() / "metrics.jsonl");
}

TEST(MetricsEnd, IsTheLastAttempts) {
  const auto end = end_of(std::string(kStart) + kEnd);
  ASSERT_TRUE(end);
  EXPECT_EQ(end->reason, "paused");
  EXPECT_EQ(end->step, 12);
  EXPECT_FALSE(end_of(std::string(kStart) + kEnd + kStart));  // killed since
  EXPECT_FALSE(end_of(kStart));
  EXPECT_FALSE(end_of(""));
  EXPECT_FALSE(last_metrics_end("/no/such/file"));
}

TEST(MetricsEnd, DamagedLinesAreNotThere) {
  EXPECT_FALSE(end_of(std::string(kStart) + R"({"kind":"end","reason":"paused","step":12)"));  // torn
  EXPECT_FALSE(end_of(std::string(kStart) + R"({"kind":"end","reason":7,"step":12})"
                                            "\n"));
  EXPECT_FALSE(end_of(std::string(kStart) + R"({"kind":"end","reason":"paused","step":-1})"
                                            "\n"));
  EXPECT_TRUE(end_of(std::string(kStart) + kEnd +
                     R"({"kind":"end"})"
                     "\n"));
}

}  // namespace
}  // namespace lockstep

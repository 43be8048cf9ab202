#include "trainer/cost/off_peak.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

namespace lockstep {
namespace {

using ::testing::HasSubstr;

constexpr double kHour = 3600.0;
constexpr double kDay = 24 * kHour;
constexpr double kMonday = 1769990400.0;  // 2026-02-02 00:00 UTC

TEST(OffPeakWindow, OpensAndClosesAcrossMidnight) {
  const OffPeakWindow window("22:00-06:00,UTC");
  EXPECT_FALSE(window.is_open(kMonday + 21.99 * kHour));
  EXPECT_TRUE(window.is_open(kMonday + 22 * kHour));
  EXPECT_TRUE(window.is_open(kMonday + 29.99 * kHour));
  EXPECT_FALSE(window.is_open(kMonday + 30 * kHour));
  EXPECT_DOUBLE_EQ(window.next_opening(kMonday + 10 * kHour), kMonday + 22 * kHour);
  EXPECT_DOUBLE_EQ(window.next_opening(kMonday + 23 * kHour), kMonday + 23 * kHour);
  EXPECT_DOUBLE_EQ(window.next_closing(kMonday + 23 * kHour), kMonday + 30 * kHour);
  EXPECT_EQ(window.to_local(kMonday + 22 * kHour), "2026-02-02 22:00 UTC");
}

// A day is the one on which the window opens: Friday's reaches into Saturday, Sunday has none.
TEST(OffPeakWindow, KeepsToItsDays) {
  for (const char* text :
       {"22:00-06:00,mon-fri,UTC", "22:00-06:00,weekdays,UTC", "22:00-06:00,Mon-Fri,UTC"}) {
    const OffPeakWindow window(text);
    EXPECT_TRUE(window.is_open(kMonday + 5 * kDay + 5 * kHour)) << text;    // Saturday 05:00
    EXPECT_FALSE(window.is_open(kMonday + 5 * kDay + 23 * kHour)) << text;  // Saturday 23:00
    EXPECT_FALSE(window.is_open(kMonday + 5 * kHour)) << text;              // Monday 05:00: Sunday's
    EXPECT_DOUBLE_EQ(window.next_opening(kMonday + 5 * kDay + 6 * kHour), kMonday + 7 * kDay + 22 * kHour);
  }
  const OffPeakWindow weekend("00:00-24:00,weekends,UTC");
  EXPECT_TRUE(weekend.is_open(kMonday + 5 * kDay));
  EXPECT_TRUE(weekend.is_open(kMonday + 7 * kDay - 1));
  EXPECT_FALSE(weekend.is_open(kMonday + 7 * kDay));
  EXPECT_DOUBLE_EQ(OffPeakWindow("10:00-11:00,mon,UTC").next_opening(kMonday + 11 * kHour),
                   kMonday + 7 * kDay + 10 * kHour);
}

TEST(OffPeakWindow, KeepsDaylightSaving) {
  const OffPeakWindow window("22:00-06:00,Europe/Berlin");
  // Winter: an hour ahead of UTC; summer: two.
  EXPECT_TRUE(window.is_open(kMonday + 21 * kHour));
  constexpr double kJuly1 = 1782864000.0;  // 2026-07-01 00:00 UTC
  EXPECT_TRUE(window.is_open(kJuly1 + 20 * kHour));
  EXPECT_FALSE(window.is_open(kJuly1 + 4 * kHour));
  // 2026-03-28 22:00 CET to 06:00 CEST are 7 hours, 2026-10-24 22:00 CEST to 06:00 CET 9.
  constexpr double kSpring = 1774731600.0;  // 2026-03-28 21:00 UTC
  EXPECT_DOUBLE_EQ(window.next_closing(kSpring) - window.next_opening(kSpring), 7 * kHour);
  constexpr double kAutumn = 1792872000.0;  // 2026-10-24 20:00 UTC
  EXPECT_DOUBLE_EQ(window.next_closing(kAutumn) - window.next_opening(kAutumn), 9 * kHour);
  // 02:30 does not exist on 2026-03-29: the window opens when the clocks go from 02:00 to 03:00.
  constexpr double kGap = 1774746000.0;  // 2026-03-29 01:00 UTC
  EXPECT_DOUBLE_EQ(OffPeakWindow("02:30-05:00,Europe/Berlin").next_opening(kGap - kHour), kGap);
}

TEST(OffPeakWindow, RefusesWhatCannotBe) {
  for (const auto& [text, reason] : std::vector<std::pair<std::string, std::string>>{
           {"", "no two times"},
           {"22:00", "no two times"},
           {"22-06", "opens at no time"},
           {"25:00-06:00", "opens at no time"},
           {"22:60-06:00", "opens at no time"},
           {"24:00-06:00", "opens at no time"},
           {"22:00-24:01", "closes at no time"},
           {"22:00-6", "closes at no time"},
           {"22:00-22:00", "closes when it opens"},
           {"22:00-06:00,Europe/Berlim", "did you mean Europe/Berlin?"},
           {"22:00-06:00,someday", "there is no time zone someday"},
           {"22:00-06:00,mon-fri,UTC,more", "more than days and a zone"},
           {"22:00-06:00,mon-fri,../../etc/passwd", "there is no time zone"}}) {
    try {
      const OffPeakWindow window(text);
      ADD_FAILURE() << "accepted: " << text;
    } catch (const std::invalid_argument& error) {
      EXPECT_THAT(error.what(), HasSubstr(reason));
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    }
  }
}

// A wall clock that is off by decades must not end the run.
TEST(OffPeakWindow, CopesWithAnyClock) {
  const OffPeakWindow window("22:00-06:00,mon-fri,America/New_York");
  for (const double unix_s : {-1e12, 0.0, 1e10, 1e300})
    EXPECT_NO_THROW(window.next_opening(unix_s)) << unix_s;
}

}  // namespace
}  // namespace lockstep

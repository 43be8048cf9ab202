#include "trainer/config/option_value.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "tests/trainer/config/refusal.h"

namespace lockstep {
namespace {

TEST(OptionValue, TheWholeTextHasToBeUsedUp) {
  const Rule any_integer = integer_between(-100, 100);
  EXPECT_EQ(std::get<std::int64_t>(parse_value("--n", OptionKind::kInteger, any_integer, "-12")), -12);
  for (const char* text :
       {"12x", " 12", "12 ", "", "1.5", "1e2", "0x10", "+1", "99999999999999999999", "--1"}) {
    expect_refused([&] { parse_value("--n", OptionKind::kInteger, any_integer, text); }, {"--n", text});
  }
  EXPECT_EQ(std::get<double>(parse_value("--x", OptionKind::kNumber, number_not_negative(), "1e-3")), 0.001);
  for (const char* text : {"0.1x", "", "x", "0,1", "1e", "1e999", "inf", "nan", "-nan", "-0.1"}) {
    expect_refused([&] { parse_value("--x", OptionKind::kNumber, number_not_negative(), text); },
                   {"--x", text});
  }
  for (const char* text : {"yes", "1", "True", ""}) {
    expect_refused([&] { parse_value("--b", OptionKind::kSwitch, true_or_false(), text); },
                   {"true or false"});
  }
}

TEST(OptionValue, BoundsBelongToTheRange) {
  const Rule rule = integer_between(1, 3);
  for (const std::int64_t good : {1, 3}) {
    EXPECT_NO_THROW(check_value("n", rule, good));
  }
  for (const std::int64_t bad : {0, 4}) {
    EXPECT_THROW(check_value("n", rule, bad), std::invalid_argument);
  }
  EXPECT_THROW(check_value("n", rule, 2.0), std::invalid_argument);
  const double infinity = std::numeric_limits<double>::infinity();
  for (const double bad : {0.0, -1.0, infinity, -infinity, std::nan("")}) {
    EXPECT_THROW(check_value("x", number_above_zero(1e300), bad), std::invalid_argument);
  }
  EXPECT_NO_THROW(check_value("x", number_above_zero(1e300), std::numeric_limits<double>::denorm_min()));
}

TEST(OptionValue, TextIsOnePrintableLineOfUtf8) {
  for (const char* good : {"", "a b", "größe", "数据", "\xf0\x9f\x98\x80"}) {
    EXPECT_TRUE(any_line().accepts(std::string(good))) << good;
  }
  for (const char* bad : {"a\nb", "\x1b[31m", "\x7f", "\xff", "\xc3", "\xc0\xaf", "\xe2\x82"}) {
    EXPECT_FALSE(any_line().accepts(std::string(bad))) << bad;
  }
  EXPECT_FALSE(some_line().accepts(std::string()));
}

TEST(OptionValue, NumbersComeBackWithTheSameBits) {
  std::mt19937_64 generator(1);
  const Rule anything{"anything", [](const OptionValue&) { return true; }};
  for (int i = 0; i < 10000; ++i) {
    const double number = std::bit_cast<double>(generator());
    if (std::isfinite(number)) {
      const auto back = parse_value("--x", OptionKind::kNumber, anything, to_text(number));
      EXPECT_EQ(std::bit_cast<std::uint64_t>(std::get<double>(back)), std::bit_cast<std::uint64_t>(number));
    }
  }
  EXPECT_EQ(to_text(25.0), "25.0");
  EXPECT_EQ(to_text(0.1), "0.1");
}

TEST(OptionValue, AnErrorStaysShortAndPrintable) {
  expect_refused(
      [] { parse_value("--n", OptionKind::kInteger, integer_between(0, 1), std::string(100000, 'x')); },
      {"xxx...\""});
  expect_refused([] { parse_value("--n", OptionKind::kInteger, integer_between(0, 1), "a\nb\x1b[31m"); },
                 {"a?b?[31m"});
}

}  // namespace
}  // namespace lockstep

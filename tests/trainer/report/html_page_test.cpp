#include "trainer/report/html_page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <regex>

namespace lockstep {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const std::string kHostile = "a</script><script>alert(1)</script><!-- &amp; \"quoted\" 'too'";

TEST(HtmlPage, EscapesText) {
  EXPECT_EQ(html_escaped("<a href=\"x\">'&'"), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;");
}

// What a browser's JSON.parse gets is what was put in.
TEST(HtmlPage, JsonInAScriptMeansTheSameAndEndsNothing) {
  const nlohmann::json data = {{"name", kHostile}, {"<key>", {1, 2.5, nullptr}}};
  const std::string text = json_for_script(data.dump());
  EXPECT_THAT(text, Not(HasSubstr("<")));
  EXPECT_THAT(text, Not(HasSubstr(">")));
  EXPECT_EQ(nlohmann::json::parse(text), data);
}

TEST(HtmlPage, HoldsWhatItNeedsAndAsksForNothing) {
  const std::string page = html_page(kHostile, R"({"a":1})", "run();");
  EXPECT_THAT(page, HasSubstr("<title>a&lt;/script&gt;"));
  EXPECT_THAT(page, HasSubstr(R"(id="data">{"a":1}</script>)"));
  EXPECT_THAT(page, HasSubstr("run();"));
  EXPECT_THAT(page, HasSubstr("uPlot (v1.6.32)"));
  EXPECT_THAT(page, HasSubstr("The MIT License"));
  EXPECT_THAT(page, HasSubstr("default-src 'none'"));
  EXPECT_THAT(page, HasSubstr("prefers-color-scheme: dark"));
  EXPECT_THAT(page, HasSubstr("@media print"));
  // Nothing that a browser would fetch.
  EXPECT_THAT(page, Not(HasSubstr(" src=")));
  EXPECT_THAT(page, Not(HasSubstr("@import")));
  EXPECT_FALSE(std::regex_search(page, std::regex("url\\(")));
  EXPECT_FALSE(std::regex_search(page, std::regex("<link[^>]*href=\"(?!data:,)")));
}

TEST(HtmlPage, EveryScriptEndsWhereItShould) {
  const std::string page = html_page("t", json_for_script(nlohmann::json(kHostile).dump()), "run();");
  const std::regex open("<script"), close("</script");
  const auto count = [&](const std::regex& what) {
    return std::distance(std::sregex_iterator(page.begin(), page.end(), what), std::sregex_iterator());
  };
  EXPECT_EQ(count(open), 4);
  EXPECT_EQ(count(close), 4);
}

}  // namespace
}  // namespace lockstep

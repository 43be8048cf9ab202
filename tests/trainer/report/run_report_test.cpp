#include "trainer/report/run_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "sampler/data_error.h"
#include "tests/temporary_folder.h"

namespace lockstep {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

RunRecord a_run(const std::string& name) {
  RunRecord run;
  run.name = name;
  run.facts = {{"model", "mlp"}};
  run.options = {{"lr", "0.1"}};
  run.attempts = {{.attempt = 1, .last_step = 2, .running_s = 1.0, .currency = "USD", .end_reason = ""}};
  run.train = {{.step = 1, .running_s = 0.5, .loss = 2.0, .spend = std::numeric_limits<double>::quiet_NaN()},
               {.step = 2, .running_s = 1.0, .loss = 1.0}};
  run.parts = {{"data", 1.0, 0.25}};
  return run;
}

json data_of(const std::string& page) {
  const std::string begin = "id=\"data\">";
  const std::size_t from = page.find(begin) + begin.size();
  return json::parse(page.substr(from, page.find("</script>", from) - from));
}

TEST(RunReport, HoldsTheRunsSideBySideAndItsCommand) {
  const std::string page = run_report({a_run("runs/a"), a_run("runs/b")}, "lockstep report runs/a runs/b");
  const json data = data_of(page);
  EXPECT_EQ(data["command"], "lockstep report runs/a runs/b");
  ASSERT_EQ(data["runs"].size(), 2u);
  EXPECT_EQ(data["runs"][1]["name"], "runs/b");
  EXPECT_EQ(data["runs"][0]["train"]["loss"], json({2.0, 1.0}));
  EXPECT_EQ(data["runs"][0]["train"]["spend"], json({nullptr, 0.0}));
  EXPECT_EQ(data["runs"][0]["parts"][0]["money"], 0.25);
  EXPECT_THAT(page, HasSubstr("<title>Lockstep: 2 runs</title>"));
}

TEST(RunReport, HostileNamesStayText) {
  RunRecord run = a_run("</script><script>alert(1)</script>");
  run.facts = {{"data", "<img src=x onerror=alert(1)>"}};
  run.events = {{.event = "</SCRIPT >", .attempt = 1, .detail = "\xff\xfe not UTF-8"}};
  const std::string page = run_report({run}, "x <!--");
  EXPECT_THAT(page, Not(HasSubstr("alert(1)</script>")));
  EXPECT_THAT(page, Not(HasSubstr("<img")));
  EXPECT_THAT(page, Not(HasSubstr("</SCRIPT")));
  const json data = data_of(page);
  EXPECT_EQ(data["runs"][0]["name"], run.name);
  EXPECT_EQ(data["runs"][0]["facts"][0][1], "<img src=x onerror=alert(1)>");
}

// A million log steps: a page of a size that opens, and its one spike and its one gap still on it.
TEST(RunReport, LongRunsAreThinnedButSpikesStay) {
  RunRecord run = a_run("long");
  run.train.resize(1'000'000);
  for (std::size_t i = 0; i < run.train.size(); ++i)
    run.train[i] = {.step = static_cast<std::int64_t>(i), .loss = 1.0};
  run.train[333'333].loss = 99.0;
  run.train[777'777].loss = std::numeric_limits<double>::quiet_NaN();
  const std::string page = run_report({run}, "x");
  EXPECT_LT(page.size(), 1u << 20);
  const json shown = data_of(page)["runs"][0];
  EXPECT_EQ(shown["logged"], 1'000'000);
  EXPECT_EQ(shown["shown"], shown["train"]["loss"].size());
  EXPECT_LE(shown["shown"].get<std::size_t>(), kMostReportPoints);
  const json& steps = shown["train"]["step"];
  EXPECT_THAT(steps, ::testing::Contains(json(333'333)));
  EXPECT_THAT(steps, ::testing::Contains(json(777'777)));
}

TEST(RunReport, AFileThatCannotBeWrittenIsAnErrorAndLeavesTheOldOne) {
  EXPECT_THROW(write_run_report({a_run("a")}, "/no/such/folder/report.html", "x"), DataError);
  const TemporaryFolder folder;
  const auto file = folder.path() / "report.html";
  write_run_report({a_run("a")}, file, "x");
  EXPECT_THAT(read_text(file), HasSubstr("</html>"));
}

}  // namespace
}  // namespace lockstep

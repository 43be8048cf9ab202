#include "bench/scaling/scaling_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "sampler/data_error.h"
#include "tests/bench/scaling/small_study.h"

namespace lockstep {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(ScalingReport, HoldsTheFiguresAndTheCommands) {
  const Study study = small_study();
  const ScalingConfig config = parse_scaling_command({"--links", "8gbit", "--model", "mlp"});
  const Price price{3.6, "USD"};
  const std::string page = scaling_report(study, findings_of(study, config, price), config, price,
                                          "lockstep bench scaling </script>");
  const std::string begin = "id=\"data\">";
  const std::size_t at = page.find(begin) + begin.size();
  const auto data = nlohmann::json::parse(page.substr(at, page.find("</script>", at) - at));
  EXPECT_EQ(data.at("command"), "lockstep bench scaling </script>");
  EXPECT_EQ(data.at("links").size(), 2U);
  EXPECT_NEAR(data.at("links")[0].at("fitted")[0][1].get<double>(), 1e-3, 1e-9);
  EXPECT_NEAR(data.at("findings")[1].at("error").get<double>(), 11.5 / 12 - 1, 1e-9);
  EXPECT_EQ(data.at("steps").size(), 3U);
  EXPECT_EQ(data.at("steps")[2].at("contenders")[1].at("timeline").at("buckets").size(), 1U);
  EXPECT_EQ(data.at("epochs")[0].at("rows").back().at("ranks"), 1024);
  EXPECT_EQ(data.at("missing")[0], study.missing[0]);
  EXPECT_THAT(data.at("machines")[0].get<std::string>(), HasSubstr("Toy <CPU>"));
  EXPECT_THAT(page, Not(HasSubstr("src=")));  // nothing that a browser would fetch
}

TEST(ScalingReport, AFileThatCannotBeWrittenIsNamed) {
  const Study study = small_study();
  const ScalingConfig config;
  EXPECT_THROW(write_scaling_report(study, {}, config, {}, "", "/no/such/folder/report.html"), DataError);
}

}  // namespace
}  // namespace lockstep

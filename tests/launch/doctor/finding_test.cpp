#include "launch/doctor/finding.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "sampler/data_error.h"

namespace lockstep {
namespace {

const std::vector<Section> kSections = {
    {"node1", {ok("driver", "580.95"), warning("mtu", "eth0 1500", "set it to 9000")}},
    {"node2", {failure("ports", "closed", "open them")}}};

TEST(Finding, TextHasALineForEachWithItsRemedy) {
  EXPECT_EQ(to_text(kSections),
            "node1\n"
            "  ok       driver           580.95\n"
            "  warning  mtu              eth0 1500; set it to 9000\n"
            "\nnode2\n"
            "  failure  ports            closed; open them\n"
            "\n1 failure, 1 warning, 1 ok\n");
}

TEST(Finding, JsonHasTheSame) {
  const auto json = nlohmann::json::parse(to_json_text(kSections));
  EXPECT_EQ(json.at("failures"), 1);
  EXPECT_EQ(json.at("warnings"), 1);
  EXPECT_EQ(json.at("ok"), 1);
  EXPECT_EQ(json.at("hosts").at(1).at("host"), "node2");
  const auto& finding = json.at("hosts").at(0).at("findings").at(1);
  EXPECT_EQ(finding.at("topic"), "mtu");
  EXPECT_EQ(finding.at("verdict"), "warning");
  EXPECT_EQ(finding.at("remedy"), "set it to 9000");
  EXPECT_FALSE(json.at("hosts").at(0).at("findings").at(0).contains("remedy"));
}

TEST(Finding, TravelsAndWhatIsNoneIsRefused) {
  const Findings findings = findings_from_json(to_json_text(kSections[0].findings));
  ASSERT_EQ(findings.size(), 2u);
  EXPECT_EQ(findings[1].verdict, Verdict::kWarning);
  EXPECT_EQ(findings[1].remedy, "set it to 9000");
  EXPECT_NO_THROW(to_json_text(Findings{ok("name", "not \xff UTF-8")}));
  for (const char* text : {"", "{", R"([{"topic": 1}])", R"([{"topic":"a","verdict":"good","what":"b"}])"})
    EXPECT_THROW(findings_from_json(text), DataError) << text;
}

}  // namespace
}  // namespace lockstep

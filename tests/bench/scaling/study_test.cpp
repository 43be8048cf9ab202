#include "bench/scaling/study.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "sampler/data_error.h"
#include "tests/temporary_folder.h"

namespace lockstep {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Json = nlohmann::ordered_json;

StudyTask an_all_reduce() {
  return {.part = StudyPart::kAllReduce,
          .name = "all-reduce-1gbit-2",
          .link = "1gbit",
          .ranks = 2,
          .arguments = {"all-reduce", "-n", "7"}};
}

// As lockstep-bench and its launcher write it.
Json a_result() {
  RunFacts facts;
  facts.machine = read_machine();
  facts.backend = "tcp";
  facts.command = "lockstep bench all-reduce";
  Json json = Json::parse(to_json_text(facts));
  json["benchmark"] = "all-reduce";
  const Json row = {{"contender", "lockstep"},
                    {"size_bytes", 1000},
                    {"operations", 10},
                    {"time_us", {{"min", 1}, {"median", 2}, {"max", 3}}},
                    {"busbw_gb_per_s", 0.5}};
  json["rows"] = Json::array({row});
  json["network"] = {{"wire", "1gbit"}, {"sent_bytes", {{"wire0", 20'500}, {"lo", 3}}}};
  return json;
}

class StudyFolderTest : public testing::Test {
 protected:
  void write(const StudyTask& task, const Json& json) const {
    std::ofstream(study_.unfinished_file(task)) << json.dump();
  }

  TemporaryFolder folder_;
  StudyFolder study_{folder_.path() / "study"};
};

TEST_F(StudyFolderTest, WhatIsFinishedIsThereAndWhatIsNotIsNot) {
  const StudyTask task = an_all_reduce();
  EXPECT_FALSE(study_.has(task));
  write(task, a_result());
  EXPECT_FALSE(study_.has(task));  // nobody has said that it is whole
  study_.keep(task);
  EXPECT_TRUE(study_.has(task));
  StudyTask other = task;
  other.arguments.back() = "8";
  EXPECT_FALSE(study_.has(other));  // measured in another way
}

TEST_F(StudyFolderTest, ReadsWhatWasMeasured) {
  const StudyTask task = an_all_reduce();
  write(task, a_result());
  study_.keep(task);
  StudyTask missing = task;
  missing.name = "all-reduce-1gbit-4";
  missing.ranks = 4;
  const Study study = study_.read({task, missing}, {{missing.name, "it takes root"}});
  ASSERT_EQ(study.links.size(), 1U);
  EXPECT_EQ(study.links[0].backend, "tcp");
  EXPECT_EQ(study.links[0].times[0].bytes, 1000);
  EXPECT_DOUBLE_EQ(study.links[0].times[0].time_s.median, 2e-6);
  EXPECT_EQ(study.links[0].sent_bytes.at("wire0"), 20'500);
  EXPECT_DOUBLE_EQ(study.links[0].ring_bytes, 20'000);  // ten times 1,000 bytes each way
  EXPECT_THAT(study.missing, ElementsAre("all-reduce over 1gbit, 4 ranks: it takes root"));
  EXPECT_TRUE(study.other_machines.empty());
}

TEST_F(StudyFolderTest, AnotherMachinesResultsAreKnown) {
  const StudyTask task = an_all_reduce();
  Json json = a_result();
  json["machine"]["cpu"] = "Some other CPU";
  write(task, json);
  study_.keep(task);
  EXPECT_THAT(study_.other_machines(), ElementsAre(HasSubstr("Some other CPU")));
}

TEST_F(StudyFolderTest, WhatIsNoResultIsNamed) {
  const StudyTask task = an_all_reduce();
  EXPECT_THROW(study_.keep(task), DataError);
  write(task, {{"benchmark", "all-reduce"}});
  study_.keep(task);
  try {
    study_.read({task}, {});
    ADD_FAILURE();
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), HasSubstr("all-reduce-1gbit-2.json"));
  }
}

TEST(StudyFolder, AFolderThatCannotBeMadeIsNamed) {
  const TemporaryFolder folder;
  std::ofstream(folder.path() / "file") << "x";
  EXPECT_THROW(StudyFolder(folder.path() / "file"), DataError);
}

}  // namespace
}  // namespace lockstep

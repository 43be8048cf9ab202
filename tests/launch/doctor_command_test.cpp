// `lockstep doctor` as a user starts it, with the real mpirun.
#include "launch/doctor_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/launch/launched.h"

namespace lockstep {
namespace {

using ::testing::HasSubstr;

TEST(DoctorCommand, LooksAtThisMachine) {
  Launched job({"doctor", "--json"});
  const int code = job.wait();
  const auto json = nlohmann::json::parse(job.output());
  EXPECT_EQ(code, json.at("failures") == 0 ? 0 : 1);
  ASSERT_EQ(json.at("hosts").size(), 1u);
  EXPECT_GE(json.at("hosts").at(0).at("findings").size(), 10u);
  EXPECT_EQ(job.error(), "");
}

TEST(DoctorCommand, AHostThatCannotBeReachedIsAFailureAndTheOthersAreLookedAt) {
  Launched job({"doctor", "--host", "localhost,no-such-host.invalid", "--timeout", "20"});
  EXPECT_EQ(job.wait(), 1);
  EXPECT_THAT(job.output(), HasSubstr("\nlocalhost\n"));
  EXPECT_THAT(job.output(), HasSubstr("this machine's, give or take"));
  EXPECT_THAT(
      job.output(),
      HasSubstr("\nno-such-host.invalid\n  failure  host             lockstep cannot be started there: "));
}

TEST(DoctorCommand, WrongUseIsTwoAndAMissingHostfileThree) {
  Launched wrong({"doctor", "--hots", "a"});
  EXPECT_EQ(wrong.wait(), 2);
  EXPECT_THAT(wrong.error(), HasSubstr("--host"));
  Launched missing({"doctor", "--hostfile", "/no/such/file"});
  EXPECT_EQ(missing.wait(), 3);
  EXPECT_EQ(doctor_command_help({}).find("usage: lockstep doctor"), 0u);
}

}  // namespace
}  // namespace lockstep

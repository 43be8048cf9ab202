#include "launch/doctor/host_agent.h"

#include <gtest/gtest.h>

#include <chrono>
#include <sstream>

#include "launch/doctor/host_messages.h"
#include "sampler/data_error.h"

namespace lockstep {
namespace {

TEST(HostAgent, ReportsThenAnswersUntilItsInputEnds) {
  std::istringstream input(time_request() + "\n" + to_line(std::vector<Reachable>{{"other", {}, {29500}}}) +
                           "\n");
  std::ostringstream output;
  run_doctor_agent(ProbeSource(), input, output);
  std::istringstream lines(output.str());
  std::string line;
  ASSERT_TRUE(std::getline(lines, line));
  const HostReport report = read_report(line);
  EXPECT_FALSE(report.findings.empty());
  EXPECT_FALSE(report.reachable.ports.empty());
  EXPECT_FALSE(report.reachable.addresses.empty());
  ASSERT_TRUE(std::getline(lines, line));
  const std::chrono::duration<double> now = std::chrono::system_clock::now().time_since_epoch();
  EXPECT_NEAR(read_time(line), now.count(), 60);
  ASSERT_TRUE(std::getline(lines, line));
  const auto trials = read_trials(line);
  ASSERT_EQ(trials.size(), 1u);
  EXPECT_EQ(trials[0].address, "");
  EXPECT_FALSE(std::getline(lines, line));
}

TEST(HostAgent, RefusesWhatIsNoRequest) {
  std::istringstream input("hello\n");
  std::ostringstream output;
  EXPECT_THROW(run_doctor_agent(ProbeSource(), input, output), DataError);
}

}  // namespace
}  // namespace lockstep

#include "trainer/bill/idle_watch.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <stdexcept>
#include <thread>

#include "tests/temporary_folder.h"
#include "trainer/bill/user_command.h"

namespace lockstep {
namespace {

TEST(IdleWatch, TellsOnceThatNothingWasDoneForAWindow) {
  IdleWatch watch(60.0);
  EXPECT_FALSE(watch.sample(0, 0.01, 0.0));
  EXPECT_FALSE(watch.sample(0, 0.01, 59.0));
  EXPECT_TRUE(watch.sample(0, 0.09, 60.0));
  EXPECT_FALSE(watch.sample(0, 0.0, 300.0));
  EXPECT_FALSE(watch.sample(1, 0.0, 310.0));  // a step: from the beginning
  EXPECT_FALSE(watch.sample(1, 0.0, 369.0));
  EXPECT_TRUE(watch.sample(1, 0.0, 370.0));
}

TEST(IdleWatch, StepsOrUseAreEnough) {
  IdleWatch watch(60.0);
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(watch.sample(i, 0.0, 10.0 * i));      // slow, but it goes on
  for (int i = 100; i < 200; ++i) EXPECT_FALSE(watch.sample(99, 0.10, 10.0 * i));  // a long evaluation
  EXPECT_FALSE(watch.sample(99, 0.0, 2040.0));
  EXPECT_FALSE(watch.sample(99, std::nan(""), 2060.0));
}

TEST(Utilization, IsThatOfThisProcess) {
  const auto now = [] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
  };
  Utilization utilization(false, now());
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  EXPECT_LT(utilization.read(now()), IdleWatch::kIdleBelow);
  EXPECT_DOUBLE_EQ(utilization.read(-1.0), 1.0);  // no time has passed: nothing is known, and nothing idle
}

TEST(IdleAction, RunsACommand) {
  const TemporaryFolder folder;
  const auto file = folder.path() / "idle";
  EXPECT_THROW(check_idle_action("'open"), std::invalid_argument);
  EXPECT_NO_THROW(check_idle_action("touch " + file.string()));
  act_on_idle("touch " + file.string(), 60.0);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!std::filesystem::exists(file) && std::chrono::steady_clock::now() < deadline)
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  EXPECT_TRUE(std::filesystem::exists(file));
  EXPECT_NO_THROW(act_on_idle("/no/such/program", 60.0));
}

TEST(UserCommand, IsSplitIntoWords) {
  using Words = std::vector<std::string>;
  EXPECT_EQ(split_words("  sudo shutdown  now "), (Words{"sudo", "shutdown", "now"}));
  EXPECT_EQ(split_words(R"(echo 'a b' "c d" e\ f g'h'i '' "q\"u" '\')"),
            (Words{"echo", "a b", "c d", "e f", "ghi", "", "q\"u", "\\"}));
  EXPECT_EQ(split_words("echo $HOME | cat; true"), (Words{"echo", "$HOME", "|", "cat;", "true"}));
  for (const char* bad : {"", "   ", "'a", "\"a", "'' b"}) {
    EXPECT_THROW(split_words(bad), std::invalid_argument) << bad;
  }
}

}  // namespace
}  // namespace lockstep

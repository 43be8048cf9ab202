#include "launch/doctor/child_program.h"

#include <gtest/gtest.h>

#include <system_error>
#include <thread>

namespace lockstep {
namespace {

using Clock = ChildProgram::Clock;
using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(ChildProgram, ExchangesLines) {
  ChildProgram child({"/bin/sh", "-c", "read x; echo \"$x $WHO\"; echo oops >&2; printf end"},
                     {{"WHO", "there"}});
  EXPECT_TRUE(child.write_line("hello"));
  EXPECT_EQ(child.read_line(Clock::now() + seconds(10)), "hello there");
  EXPECT_EQ(child.read_line(Clock::now() + seconds(10)), std::nullopt);
  EXPECT_EQ(child.error_text(), "oops\n");
}

TEST(ChildProgram, IsNotWaitedForLongerThanSaid) {
  ChildProgram child({"/bin/cat"}, {});
  const auto begin = Clock::now();
  EXPECT_EQ(child.read_line(begin + milliseconds(50)), std::nullopt);
  EXPECT_GE(Clock::now() - begin, milliseconds(50));
  EXPECT_TRUE(child.write_line("still here"));
  EXPECT_EQ(child.read_line(Clock::now() + seconds(10)), "still here");
}

TEST(ChildProgram, OneThatHasEndedOrNeverWasIsAnError) {
  ChildProgram child({"/bin/true"}, {});
  EXPECT_EQ(child.read_line(Clock::now() + seconds(10)), std::nullopt);
  // It has closed its output and goes on to close its input.
  const auto deadline = Clock::now() + seconds(10);
  bool listened = true;
  while (listened && Clock::now() < deadline) {
    std::this_thread::sleep_for(milliseconds(1));
    listened = child.write_line("nobody there");
  }
  EXPECT_FALSE(listened);
  EXPECT_THROW(ChildProgram({"/no/such/program"}, {}), std::system_error);
}

}  // namespace
}  // namespace lockstep

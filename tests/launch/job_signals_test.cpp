#include "launch/job_signals.h"

#include <gtest/gtest.h>

namespace lockstep {
namespace {

TEST(JobSignals, WaitToBeReadAndEndNobody) {
  {
    const JobSignals signals;
    EXPECT_EQ(signals.next(), std::nullopt);
    for (const int signal : {SIGINT, SIGTERM, SIGUSR1, SIGHUP}) {
      raise(signal);
      signals.wait(std::nullopt);
      EXPECT_EQ(signals.next(), signal);
    }
    signals.wait(std::chrono::milliseconds(1));
    EXPECT_EQ(signals.next(), std::nullopt);
    raise(SIGTERM);  // not read: dropped at the end
  }
  sigset_t mask;
  sigprocmask(SIG_SETMASK, nullptr, &mask);
  EXPECT_EQ(sigismember(&mask, SIGTERM), 0);
}

TEST(JobSignals, AnIgnoredHangUpStaysIgnored) {
  std::signal(SIGHUP, SIG_IGN);
  {
    const JobSignals signals;
    raise(SIGHUP);
    EXPECT_EQ(signals.next(), std::nullopt);
  }
  std::signal(SIGHUP, SIG_DFL);
}

}  // namespace
}  // namespace lockstep

#include "trainer/notices/notice_watcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <stdexcept>
#include <thread>

#include "tests/trainer/notices/metadata_server.h"

namespace lockstep {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

// Lines that come from another thread.
class Lines {
 public:
  NoticeWatcher::Tell tell() {
    return [this](const std::string& line) {
      const std::scoped_lock lock(mutex_);
      lines_.push_back(line);
      came_.notify_all();
    };
  }
  bool wait_for_one() {
    std::unique_lock lock(mutex_);
    return came_.wait_for(lock, 20s, [this] { return !lines_.empty(); });
  }
  std::vector<std::string> all() {
    const std::scoped_lock lock(mutex_);
    return lines_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable came_;
  std::vector<std::string> lines_;
};

TEST(NoticeWatcher, TellsOnce) {
  std::atomic<int> polls{0};
  MetadataServer server([&](const std::string&) {
    return MetadataServer::answer(200, ++polls < 3 ? "FALSE" : "TRUE", "Metadata-Flavor: Google\r\n");
  });
  Lines notices;
  Lines warnings;
  const NoticeWatcher watcher(create_notice_source("gcp", server.url()), notices.tell(), warnings.tell(),
                              5ms);
  ASSERT_TRUE(notices.wait_for_one());
  std::this_thread::sleep_for(50ms);
  EXPECT_EQ(notices.all().size(), 1u);
  EXPECT_TRUE(warnings.all().empty());
  EXPECT_EQ(polls, 3);
}

TEST(NoticeWatcher, AServiceThatLiesIsWarnedOfOnceAndAskedOn) {
  std::atomic<int> polls{0};
  MetadataServer server([&](const std::string&) {
    return MetadataServer::answer(200, ++polls < 9 ? "<html>" : "TRUE", "Metadata-Flavor: Google\r\n");
  });
  Lines notices;
  Lines warnings;
  const NoticeWatcher watcher(create_notice_source("gcp", server.url()), notices.tell(), warnings.tell(),
                              5ms);
  ASSERT_TRUE(notices.wait_for_one());
  ASSERT_EQ(warnings.all().size(), 1u);
  EXPECT_THAT(warnings.all()[0], HasSubstr("--notices"));
  EXPECT_THAT(warnings.all()[0], HasSubstr("<html>"));
}

TEST(NoticeWatcher, NeitherItsStartNorItsEndWaitsForAServiceThatStalls) {
  MetadataServer server([](const std::string&) { return std::string(); });
  Lines lines;
  const auto begin = std::chrono::steady_clock::now();
  {
    const NoticeWatcher watcher(create_notice_source("aws", server.url()), lines.tell(), lines.tell(), 5ms);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 500ms);
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 3s);
}

TEST(ChooseNoticeSource, AutoIsOffWhereThereIsNoCloudAndInTests) {
  setenv("LOCKSTEP_NOTICES", "off", 1);
  EXPECT_EQ(choose_notice_source("auto", ""), nullptr);
  EXPECT_NE(choose_notice_source("aws", ""), nullptr);
  unsetenv("LOCKSTEP_NOTICES");
  EXPECT_EQ(choose_notice_source("off", ""), nullptr);
  unsetenv("SLURM_JOB_END_TIME");
  EXPECT_EQ(choose_notice_source("auto", "") == nullptr, detect_cloud().empty());
}

TEST(ChooseNoticeSource, AutoListensToSlurmWhereverItIs) {
  unsetenv("LOCKSTEP_NOTICES");
  setenv("SLURM_JOB_END_TIME", "1000000000", 1);  // long past
  const auto source = choose_notice_source("auto", "");
  unsetenv("SLURM_JOB_END_TIME");
  ASSERT_NE(source, nullptr);
  const std::atomic<bool> stop{false};
  EXPECT_THAT(source->poll(stop).value_or(""), HasSubstr("Slurm ends this job in 0 s"));
}

}  // namespace
}  // namespace lockstep

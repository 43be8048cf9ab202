#include "trainer/notices/notice_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>

#include "tests/temporary_folder.h"
#include "tests/trainer/config/refusal.h"
#include "tests/trainer/notices/metadata_server.h"

namespace lockstep {
namespace {

using testing::HasSubstr;
using testing::Not;

std::optional<std::string> poll(NoticeSource& source) {
  const std::atomic<bool> stop{false};
  return source.poll(stop);
}

bool asks_for(const std::string& request, const std::string& what) {
  return request.find(what) != std::string::npos;
}

// As IMDSv2: nothing without the token that was given last.
class Ec2 {
 public:
  std::string operator()(const std::string& request) {
    if (request.starts_with("PUT /latest/api/token ")) {
      EXPECT_THAT(request, HasSubstr("X-aws-ec2-metadata-token-ttl-seconds: "));
      return MetadataServer::answer(200, "token-" + std::to_string(++tokens));
    }
    EXPECT_THAT(request, HasSubstr("GET /latest/meta-data/spot/instance-action "));
    if (!asks_for(request, "X-aws-ec2-metadata-token: token-" + std::to_string(tokens)) || expired) {
      expired = false;
      return MetadataServer::answer(401, "");
    }
    return action.empty() ? MetadataServer::answer(404, "") : MetadataServer::answer(200, action);
  }
  int tokens = 0;
  bool expired = false;
  std::string action;
};

TEST(AwsNotices, TellsOfAnInterruptionAndRenewsItsToken) {
  Ec2 ec2;
  MetadataServer server([&](const std::string& request) { return ec2(request); });
  const auto source = create_notice_source("aws", server.url() + "/");
  EXPECT_FALSE(poll(*source));
  EXPECT_FALSE(poll(*source));
  EXPECT_EQ(ec2.tokens, 1);
  ec2.expired = true;
  EXPECT_FALSE(poll(*source));
  EXPECT_EQ(ec2.tokens, 2);
  ec2.action = R"({"action": "terminate", "time": "2026-09-18T08:22:00Z"})";
  EXPECT_EQ(poll(*source), "AWS takes this instance away (terminate at \"2026-09-18T08:22:00Z\")");
}

TEST(AwsNotices, NonsenseIsAnErrorAndNoNotice) {
  Ec2 ec2;
  MetadataServer server([&](const std::string& request) { return ec2(request); });
  const auto source = create_notice_source("aws", server.url());
  for (const std::string body :
       {"<html>hello\nworld</html>", "{}", "[]", R"({"action":7})", R"({"action":"dance"})"}) {
    ec2.action = body;
    expect_refused<std::runtime_error>([&] { poll(*source); }, {"AWS's metadata service", "127.0.0.1"});
  }
}

TEST(GcpNotices, TellsOfAPreemption) {
  std::string body = "FALSE";
  MetadataServer server([&](const std::string& request) {
    EXPECT_THAT(request, HasSubstr("GET /computeMetadata/v1/instance/preempted "));
    EXPECT_THAT(request, HasSubstr("Metadata-Flavor: Google"));
    return MetadataServer::answer(200, body, "Metadata-Flavor: Google\r\n");
  });
  const auto source = create_notice_source("gcp", server.url());
  EXPECT_FALSE(poll(*source));
  body = "TRUE";
  EXPECT_EQ(poll(*source), "Google preempts this machine");
  body = "MAYBE";
  expect_refused<std::runtime_error>([&] { poll(*source); }, {"Google's metadata server", "\"MAYBE\""});
}

TEST(GcpNotices, SomebodyElsesTrueIsNoNotice) {
  MetadataServer server([](const std::string&) { return MetadataServer::answer(200, "TRUE"); });
  const auto source = create_notice_source("gcp", server.url());
  expect_refused<std::runtime_error>([&] { poll(*source); }, {"without Metadata-Flavor: Google"});
}

// What Azure documents, shortened.
std::string azure_event(const std::string& type, const std::string& resource) {
  return R"({"DocumentIncarnation":1,"Events":[{"EventId":"1","EventType":")" + type +
         R"(","ResourceType":"VirtualMachine","Resources":[")" + resource +
         R"("],"EventStatus":"Scheduled","NotBefore":"Mon, 19 Sep 2026 18:29:47 GMT"}]})";
}

TEST(AzureNotices, TellsOfThisMachinesEvictionOnly) {
  std::string events = R"({"DocumentIncarnation":1,"Events":[]})";
  MetadataServer server([&](const std::string& request) {
    EXPECT_THAT(request, HasSubstr("Metadata: true"));
    if (asks_for(request, "/metadata/instance/compute/name?")) return MetadataServer::answer(200, "ours");
    EXPECT_THAT(request, HasSubstr("GET /metadata/scheduledevents?api-version=2020-07-01 "));
    return MetadataServer::answer(200, events);
  });
  const auto source = create_notice_source("azure", server.url());
  EXPECT_FALSE(poll(*source));
  events = azure_event("Freeze", "ours");
  EXPECT_FALSE(poll(*source));
  events = azure_event("Preempt", "another");
  EXPECT_FALSE(poll(*source));
  events = azure_event("Preempt", "ours");
  EXPECT_EQ(poll(*source),
            "Azure takes this machine away (Preempt, not before \"Mon, 19 Sep 2026 18:29:47 GMT\")");
  events = R"({"Events":[{"EventType":"Preempt"}]})";  // whose is not said
  EXPECT_TRUE(poll(*source));
  events = R"({"Events":{}})";
  expect_refused<std::runtime_error>([&] { poll(*source); }, {"which are no scheduled events"});
}

void set_job_end(const std::string& text) {
  setenv("SLURM_JOB_END_TIME", text.c_str(), 1);
}
std::string from_now(std::int64_t seconds) {
  const auto then = std::chrono::system_clock::now() + std::chrono::seconds(seconds);
  return std::to_string(std::chrono::system_clock::to_time_t(then));
}

TEST(SlurmNotices, TellTwoMinutesBeforeTheJobsEnd) {
  set_job_end(from_now(150));
  EXPECT_FALSE(poll(*create_notice_source("slurm", "")));
  set_job_end(from_now(100));
  const auto notice = poll(*create_notice_source("slurm", ""));
  ASSERT_TRUE(notice);
  EXPECT_THAT(*notice, testing::MatchesRegex("Slurm ends this job in (9[0-9]|100) s .SLURM_JOB_END_TIME."));
  set_job_end(from_now(-10));
  EXPECT_THAT(*poll(*create_notice_source("slurm", "")), HasSubstr("in 0 s"));
  unsetenv("SLURM_JOB_END_TIME");
}

TEST(SlurmNotices, AnEndThatIsNoTimeIsRefused) {
  unsetenv("SLURM_JOB_END_TIME");
  expect_refused([] { create_notice_source("slurm", ""); }, {"SLURM_JOB_END_TIME is not set"});
  for (const std::string text : {"", "tomorrow", "-1", "0", "17x", "99999999999999999999"}) {
    set_job_end(text);
    expect_refused([] { create_notice_source("slurm", ""); },
                   {"--notices slurm", "\"" + text + "\"", "Unix time"});
  }
  unsetenv("SLURM_JOB_END_TIME");
}

const char* const kClouds[] = {"aws", "gcp", "azure"};

TEST(NoticeSource, AServerThatStallsIsNotWaitedForLong) {
  MetadataServer server([](const std::string&) { return std::string(); });
  for (const std::string name : kClouds) {
    const auto source = create_notice_source(name, server.url());
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_THROW(poll(*source), std::runtime_error);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 3 * kNoticeTimeout);
  }
}

TEST(NoticeSource, AnAnswerWithoutEndOrToAnotherPlaceIsRefused) {
  MetadataServer endless(
      [](const std::string&) { return MetadataServer::answer(200, std::string(100'000, 'x')); });
  MetadataServer torn(
      [](const std::string&) { return std::string("HTTP/1.1 200 x\r\nContent-Length: 99\r\n\r\nTR"); });
  MetadataServer moved([&](const std::string&) {
    return MetadataServer::answer(302, "", "Location: " + endless.url() + "/elsewhere\r\n");
  });
  for (const std::string name : kClouds) {
    for (MetadataServer* server : {&endless, &torn, &moved}) {
      EXPECT_THROW(poll(*create_notice_source(name, server->url())), std::runtime_error) << name;
    }
  }
  for (const std::string& request : endless.requests()) EXPECT_THAT(request, Not(HasSubstr("/elsewhere")));
}

TEST(NoticeSource, NobodyThereIsAnError) {
  EXPECT_THROW(poll(*create_notice_source("aws", "http://127.0.0.1:1")), std::runtime_error);
  EXPECT_THROW(poll(*create_notice_source("aws", "file:///etc/passwd")), std::runtime_error);
  expect_refused([] { create_notice_source("ibm", ""); }, {"--notices", "ibm", "aws, gcp, azure, slurm"});
}

TEST(NoticeSource, TheCloudIsReadOffTheFirmware) {
  const TemporaryFolder folder;
  EXPECT_EQ(detect_cloud(folder.path()), "");
  write_text(folder.path() / "sys_vendor", "Amazon EC2\n");
  EXPECT_EQ(detect_cloud(folder.path()), "aws");
  write_text(folder.path() / "sys_vendor", "Google\n");
  EXPECT_EQ(detect_cloud(folder.path()), "gcp");
  write_text(folder.path() / "sys_vendor", "Microsoft Corporation\n");
  EXPECT_EQ(detect_cloud(folder.path()), "");  // a Hyper-V of one's own
  write_text(folder.path() / "chassis_asset_tag", "7783-7084-3265-9085-8269-3286-77\n");
  EXPECT_EQ(detect_cloud(folder.path()), "azure");
}

}  // namespace
}  // namespace lockstep

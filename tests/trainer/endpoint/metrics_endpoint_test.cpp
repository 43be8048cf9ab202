#include "trainer/endpoint/metrics_endpoint.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <regex>
#include <sstream>
#include <stdexcept>

#include "tests/thread_time.h"

namespace lockstep {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// What an HTTP client gets for GET /metrics.
std::string scrape(int port) {
  const int client = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(connect(client, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  const std::string request = "GET /metrics HTTP/1.0\r\n\r\n";
  EXPECT_EQ(send(client, request.data(), request.size(), 0), static_cast<ssize_t>(request.size()));
  std::string answer;
  char bytes[4096];
  for (ssize_t count; (count = recv(client, bytes, sizeof bytes, 0)) > 0;)
    answer.append(bytes, static_cast<std::size_t>(count));
  close(client);
  return answer;
}

LiveMetrics some_metrics() {
  LiveMetrics metrics;
  metrics.epoch = 2;
  metrics.step = 1234;
  metrics.samples_seen = 157952;
  metrics.loss = 0.25;
  metrics.lr = 0.001;
  metrics.times.steps = 10;
  metrics.times.parts_ns[static_cast<std::size_t>(StepPart::kForward)] = 1'500'000'000;
  metrics.bytes_sent = 4096;
  metrics.spend = {.gpu_hours = 2.0, .amount = 3.0, .currency = "USD"};
  metrics.remaining_s = 90.0;
  metrics.to_finish = Spend{.gpu_hours = 1.0, .amount = 1.5, .currency = "USD"};
  return metrics;
}

TEST(MetricsEndpoint, AnswersAScrapeWithTheRun) {
  MetricsEndpoint endpoint("127.0.0.1", 0, {{"model", "ml\"p\\\n"}}, 4, nullptr);
  endpoint.update(some_metrics());
  endpoint.evaluated({.loss = 0.5, .accuracy = 0.875});
  endpoint.saved();
  const std::string answer = scrape(endpoint.port());
  EXPECT_THAT(answer, ::testing::StartsWith("HTTP/1.1 200 OK"));
  EXPECT_THAT(answer, HasSubstr("Content-Type: text/plain"));
  for (const char* line : {"\nlockstep_run_info{model=\"ml\\\"p\\\\\\n\"} 1\n",
                           "\nlockstep_world_size 4\n",
                           "\nlockstep_epoch 2\n",
                           "\n# TYPE lockstep_step gauge\n",
                           "\nlockstep_step 1234\n",
                           "\n# TYPE lockstep_samples_total counter\n",
                           "\nlockstep_samples_total 157952\n",
                           "\nlockstep_loss 0.25\n",
                           "\nlockstep_learning_rate 0.001\n",
                           "\nlockstep_attempt_steps_total 10\n",
                           "\nlockstep_step_seconds_total{part=\"forward\"} 1.5\n",
                           "\nlockstep_step_seconds_total{part=\"exposed_communication\"} 0\n",
                           "\nlockstep_sent_bytes_total 4096\n",
                           "\nlockstep_gpu_hours_total 2\n",
                           "\nlockstep_spend{currency=\"USD\"} 3\n",
                           "\nlockstep_projected_spend{currency=\"USD\"} 4.5\n",
                           "\nlockstep_remaining_seconds 90\n",
                           "\nlockstep_checkpoints_total 1\n",
                           "\nlockstep_test_loss 0.5\n",
                           "\nlockstep_test_accuracy 0.875\n"})
    EXPECT_THAT(answer, HasSubstr(line));
  EXPECT_THAT(answer, Not(HasSubstr("lockstep_gpu_utilization")));
}

// The text exposition format: each line a comment or a sample, and a TYPE before a family's first sample.
TEST(MetricsEndpoint, KeepsToTheExpositionFormat) {
  MetricsEndpoint endpoint("127.0.0.1", 0, {{"model", "mlp"}}, 1, Nvml::load(FAKE_NVML));
  const std::string answer = scrape(endpoint.port());
  std::istringstream body(answer.substr(answer.find("\r\n\r\n") + 4));
  const std::regex comment(R"(# (HELP|TYPE) ([a-z_:]+) .*)");
  const std::regex sample(
      R"(([a-z_:]+)(\{[a-z_]+="([^"\\]|\\.)*"(,[a-z_]+="([^"\\]|\\.)*")*\})? (NaN|[-+]?Inf|[-+.0-9e]+))");
  std::string family;
  int samples = 0;
  for (std::string line; std::getline(body, line);) {
    if (!line.starts_with('#') && !line.starts_with("lockstep_")) continue;  // the server's own
    std::smatch match;
    if (std::regex_match(line, match, comment)) {
      family = match[2];
    } else if (std::regex_match(line, match, sample)) {
      EXPECT_EQ(match[1], family) << line;
      ++samples;
    } else {
      ADD_FAILURE() << line;
    }
  }
  EXPECT_GT(samples, 15);
}

TEST(MetricsEndpoint, WhatIsNotKnownIsLeftOut) {
  MetricsEndpoint endpoint("127.0.0.1", 0, {}, 1, nullptr);
  const std::string answer = scrape(endpoint.port());
  for (const char* name :
       {"lockstep_loss", "lockstep_spend", "lockstep_test_accuracy", "lockstep_remaining_seconds"})
    EXPECT_THAT(answer, Not(HasSubstr(name)));
}

TEST(MetricsEndpoint, ShowsGpusWhereThereIsADriver) {
  MetricsEndpoint endpoint("127.0.0.1", 0, {}, 1, Nvml::load(FAKE_NVML));
  const std::string answer = scrape(endpoint.port());
  const std::string first = "{gpu=\"0\",name=\"NVIDIA \\\"H200\\\"\"}";
  EXPECT_THAT(answer, HasSubstr("\nlockstep_gpu_utilization" + first + " 0.87\n"));
  EXPECT_THAT(answer, HasSubstr("\nlockstep_gpu_power_watts" + first + " 693.5\n"));
  EXPECT_THAT(answer, HasSubstr("\nlockstep_gpu_nvlink_sent_bytes_total" + first + " 1048576\n"));
  EXPECT_THAT(answer, HasSubstr("\nlockstep_gpu_memory_total_bytes{gpu=\"1\",name=\"old\"} 17179869184\n"));
  EXPECT_THAT(answer, Not(HasSubstr("lockstep_gpu_power_watts{gpu=\"1\"")));
}

TEST(MetricsEndpoint, APortThatIsTakenIsNamed) {
  const MetricsEndpoint first("127.0.0.1", 0, {}, 1, nullptr);
  try {
    const MetricsEndpoint second("127.0.0.1", first.port(), {}, 1, nullptr);
    ADD_FAILURE() << "no error";
  } catch (const std::invalid_argument& error) {
    EXPECT_THAT(error.what(), HasSubstr("--metrics-port " + std::to_string(first.port())));
    EXPECT_THAT(error.what(), HasSubstr("Address already in use"));
  }
}

// What is allowed is the whole budget of metering, metrics and endpoint.
TEST(MetricsEndpoint, CostsAStepLessThanFifteenMicroseconds) {
  MetricsEndpoint endpoint("127.0.0.1", 0, {}, 1, nullptr);
  const LiveMetrics metrics = some_metrics();
  constexpr int kSteps = 20'000;
  const double begin_s = testing::thread_time_s();
  for (int i = 0; i < kSteps; ++i) endpoint.update(metrics);
  const double step_us = (testing::thread_time_s() - begin_s) / kSteps * 1e6;
  RecordProperty("step_us", std::to_string(step_us));
  std::printf("%.3f us a step\n", step_us);
  EXPECT_LT(step_us, 15.0);
}

}  // namespace
}  // namespace lockstep

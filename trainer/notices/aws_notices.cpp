// Amazon EC2, spot instances: the instance metadata service, version 2 (a session token first), which says
// two minutes before.
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <utility>

#include "trainer/notices/http_get.h"
#include "trainer/notices/notice_sources.h"

namespace lockstep {
namespace {

constexpr int kOk = 200;
constexpr int kUnauthorized = 401;
constexpr int kNotFound = 404;

class AwsNotices final : public NoticeSource {
 public:
  explicit AwsNotices(std::string url) : url_(std::move(url)) {}

  std::optional<std::string> poll(const std::atomic<bool>& stop) override {
    if (token_.empty()) token_ = new_token(stop);
    HttpAnswer answer = ask(stop);
    if (answer.status == kUnauthorized) {  // the token is of an earlier life of the service
      token_ = new_token(stop);
      answer = ask(stop);
    }
    if (answer.status == kNotFound) return std::nullopt;
    if (answer.status != kOk) {
      throw std::runtime_error(url_ + ": AWS's metadata service answered " + std::to_string(answer.status));
    }
    const auto json = nlohmann::json::parse(answer.body, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object() || !json.contains("action") || !json["action"].is_string()) {
      throw std::runtime_error(url_ + ": AWS's metadata service answered " + excerpt(answer.body) +
                               ", which is no instance action");
    }
    const std::string action = json["action"].get<std::string>();
    if (action != "terminate" && action != "stop" && action != "hibernate") {
      throw std::runtime_error(url_ + ": AWS's metadata service named the unknown action " + excerpt(action));
    }
    const bool has_time = json.contains("time") && json["time"].is_string();
    return "AWS takes this instance away (" + action +
           (has_time ? " at " + excerpt(json["time"].get<std::string>()) : "") + ")";
  }

 private:
  HttpAnswer ask(const std::atomic<bool>& stop) const {
    return http_request(
        {url_ + "/latest/meta-data/spot/instance-action", "GET", {"X-aws-ec2-metadata-token: " + token_}},
        kNoticeTimeout, stop);
  }

  std::string new_token(const std::atomic<bool>& stop) const {
    const HttpAnswer answer =
        http_request({url_ + "/latest/api/token", "PUT", {"X-aws-ec2-metadata-token-ttl-seconds: 21600"}},
                     kNoticeTimeout, stop);
    constexpr std::size_t kLongestToken = 1024;
    const bool printable = answer.body.find_first_of("\r\n") == std::string::npos;
    if (answer.status != kOk || answer.body.empty() || answer.body.size() > kLongestToken || !printable) {
      throw std::runtime_error(url_ + ": AWS's metadata service gave no token (" +
                               std::to_string(answer.status) + ")");
    }
    return answer.body;
  }

  const std::string url_;
  std::string token_;
};

}  // namespace

std::unique_ptr<NoticeSource> make_aws_notices(const std::string& url) {
  return std::make_unique<AwsNotices>(url);
}

}  // namespace lockstep

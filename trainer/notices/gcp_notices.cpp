// Google Cloud, spot and preemptible machines: the metadata server says TRUE about 30 seconds before.
// https://cloud.google.com/compute/docs/instances/create-use-spot#detect-preemption
#include <stdexcept>
#include <utility>

#include "trainer/notices/http_get.h"
#include "trainer/notices/notice_sources.h"

namespace lockstep {
namespace {

class GcpNotices final : public NoticeSource {
 public:
  explicit GcpNotices(std::string url) : url_(std::move(url)) {}

  std::optional<std::string> poll(const std::atomic<bool>& stop) override {
    const HttpAnswer answer =
        http_request({url_ + "/computeMetadata/v1/instance/preempted", "GET", {"Metadata-Flavor: Google"}},
                     kNoticeTimeout, stop);
    // Google's own answers carry it; somebody else's at this address do not.
    const bool is_google = answer.headers.find("metadata-flavor: google") != std::string::npos;
    constexpr int kOk = 200;
    std::string body = answer.body;
    while (body.ends_with('\n')) body.pop_back();
    if (answer.status != kOk || !is_google || (body != "TRUE" && body != "FALSE")) {
      throw std::runtime_error(url_ + ": Google's metadata server answered " + std::to_string(answer.status) +
                               " " + excerpt(answer.body) +
                               (is_google ? "" : " without Metadata-Flavor: Google") + ", not TRUE or FALSE");
    }
    if (body == "FALSE") return std::nullopt;
    return "Google preempts this machine";
  }

 private:
  const std::string url_;
};

}  // namespace

std::unique_ptr<NoticeSource> make_gcp_notices(const std::string& url) {
  return std::make_unique<GcpNotices>(url);
}

}  // namespace lockstep

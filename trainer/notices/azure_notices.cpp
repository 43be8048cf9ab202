// Azure: Scheduled Events, which name a machine's eviction (Preempt) at least 30 seconds before. They tell of
// all machines of a set, so this one's name is asked for, too.
// https://learn.microsoft.com/azure/virtual-machines/linux/scheduled-events
#include <algorithm>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <utility>

#include "trainer/notices/http_get.h"
#include "trainer/notices/notice_sources.h"

namespace lockstep {
namespace {

using Json = nlohmann::json;
constexpr int kOk = 200;

std::string text_of(const Json& object, const char* key) {
  return object.is_object() && object.contains(key) && object[key].is_string()
             ? object[key].get<std::string>()
             : "";
}

class AzureNotices final : public NoticeSource {
 public:
  explicit AzureNotices(std::string url) : url_(std::move(url)) {}

  std::optional<std::string> poll(const std::atomic<bool>& stop) override {
    const HttpAnswer answer = ask("/metadata/scheduledevents?api-version=2020-07-01", stop);
    const Json json = Json::parse(answer.body, nullptr, /*allow_exceptions=*/false);
    if (answer.status != kOk || !json.is_object() || !json.contains("Events") || !json["Events"].is_array()) {
      throw std::runtime_error(url_ + ": Azure's metadata service answered " + std::to_string(answer.status) +
                               " " + excerpt(answer.body) + ", which are no scheduled events");
    }
    for (const Json& event : json["Events"]) {
      const std::string type = text_of(event, "EventType");
      if ((type == "Preempt" || type == "Terminate") && means_this_machine(event, stop)) {
        const std::string when = text_of(event, "NotBefore");
        return "Azure takes this machine away (" + type +
               (when.empty() ? "" : ", not before " + excerpt(when)) + ")";
      }
    }
    return std::nullopt;
  }

 private:
  HttpAnswer ask(const std::string& path, const std::atomic<bool>& stop) const {
    return http_request({url_ + path, "GET", {"Metadata: true"}}, kNoticeTimeout, stop);
  }

  // Where either name is unknown it does: a pause too many costs less than one that never came.
  bool means_this_machine(const Json& event, const std::atomic<bool>& stop) {
    if (!event.contains("Resources") || !event["Resources"].is_array()) return true;
    if (name_.empty()) {
      const HttpAnswer answer =
          ask("/metadata/instance/compute/name?api-version=2021-02-01&format=text", stop);
      if (answer.status != kOk || answer.body.empty()) return true;
      name_ = answer.body;
    }
    const Json& resources = event["Resources"];
    return std::any_of(resources.begin(), resources.end(), [&](const Json& resource) {
      return resource.is_string() && resource.get<std::string>() == name_;
    });
  }

  const std::string url_;
  std::string name_;
};

}  // namespace

std::unique_ptr<NoticeSource> make_azure_notices(const std::string& url) {
  return std::make_unique<AzureNotices>(url);
}

}  // namespace lockstep

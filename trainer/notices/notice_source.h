// NoticeSource: where a machine learns that it is going to be taken away.
#pragma once

#include <atomic>
#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace lockstep {

// One cloud's metadata service, or a batch system. Not thread-safe.
class NoticeSource {
 public:
  virtual ~NoticeSource() = default;
  // The notice, one line for people, if this machine has been given one. Throws std::runtime_error, one line,
  // for an answer that does not come within a second or two, or makes no sense.
  virtual std::optional<std::string> poll(const std::atomic<bool>& stop) = 0;
};

// "aws", "gcp", "azure", "slurm".
const std::vector<std::string>& notice_source_names();
// `url`: of the service, without a path; empty: the cloud's own. Throws std::invalid_argument for another
// name.
std::unique_ptr<NoticeSource> create_notice_source(const std::string& name, const std::string& url);

// The cloud that this machine is in, by what its firmware says of itself (DMI); empty: none of these. Sends
// nothing.
std::string detect_cloud(const std::filesystem::path& dmi = "/sys/class/dmi/id");

inline constexpr std::chrono::milliseconds kNoticeTimeout{1000};  // of each request

}  // namespace lockstep

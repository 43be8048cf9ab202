#include "trainer/notices/notice_source.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <stdexcept>

#include "trainer/notices/notice_sources.h"

namespace lockstep {
namespace {

struct Entry {
  const char* name;
  std::unique_ptr<NoticeSource> (*make)(const std::string& url);
};
constexpr std::array kSources = {Entry{"aws", make_aws_notices}, Entry{"gcp", make_gcp_notices},
                                 Entry{"azure", make_azure_notices}, Entry{"slurm", make_slurm_notices}};
constexpr const char* kMetadataService = "http://169.254.169.254";  // of all clouds

std::string first_line(const std::filesystem::path& file) {
  std::ifstream stream(file);
  std::string line;
  std::getline(stream, line);
  return line;
}

}  // namespace

const std::vector<std::string>& notice_source_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const Entry& entry : kSources) all.emplace_back(entry.name);
    return all;
  }();
  return names;
}

std::unique_ptr<NoticeSource> create_notice_source(const std::string& name, const std::string& url) {
  std::string base = url.empty() ? kMetadataService : url;
  while (base.ends_with('/')) base.pop_back();
  for (const Entry& entry : kSources) {
    if (name == entry.name) return entry.make(base);
  }
  throw std::invalid_argument("--notices: \"" + name + "\" must be one of aws, gcp, azure, slurm");
}

std::string detect_cloud(const std::filesystem::path& dmi) {
  // A chassis tag is Azure's own; Hyper-V elsewhere has the same vendor.
  constexpr const char* kAzureTag = "7783-7084-3265-9085-8269-3286-77";
  const std::string vendor = first_line(dmi / "sys_vendor");
  if (vendor == "Amazon EC2") return "aws";
  if (vendor == "Google") return "gcp";
  if (first_line(dmi / "chassis_asset_tag") == kAzureTag) return "azure";
  return "";
}

std::string excerpt(const std::string& body) {
  constexpr std::size_t kLongest = 60;
  std::string text = body.substr(0, kLongest);
  std::replace_if(
      text.begin(), text.end(), [](unsigned char c) { return c < ' ' || c >= 0x7f; }, ' ');
  return "\"" + text + (body.size() > kLongest ? "...\"" : "\"");
}

}  // namespace lockstep

#include "comm/nccl_library.h"

#include <dlfcn.h>
#include <nccl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>

namespace lockstep {

int nccl_version() {
  int version = 0;
  return ncclGetVersion(&version) == ncclSuccess ? version : 0;
}

std::string nccl_version_text(int version) {
  constexpr int kTenThousand = 10'000;
  constexpr int kHundred = 100;
  return std::to_string(version / kTenThousand) + "." + std::to_string(version / kHundred % kHundred) + "." +
         std::to_string(version % kHundred);
}

void* find_nccl_function(const char* name) {
  return dlsym(RTLD_DEFAULT, name);
}

std::string prepare_nccl_to_share_gpus() {
  constexpr std::pair<const char*, const char*> kSettings[] = {
      {"NCCL_MULTI_RANK_GPU_ENABLE", "1"}, {"NCCL_MAX_CTAS", "8"}, {"NCCL_NVLS_ENABLE", "0"}};
  std::string text;
  for (const auto& [name, value] : kSettings) {
    setenv(name, value, /*overwrite=*/0);
    text += (text.empty() ? "" : ", ") + std::string(name) + "=" + std::getenv(name);
  }
  return text;
}

void order_nccl_launches() {
  setenv("NCCL_LAUNCH_ORDER_IMPLICIT", "1", /*overwrite=*/0);
}

std::vector<std::pair<std::string, std::string>> nccl_environment() {
  std::vector<std::pair<std::string, std::string>> settings;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const std::size_t equals = text.find('=');
    if (text.starts_with("NCCL_") && equals != std::string_view::npos)
      settings.emplace_back(text.substr(0, equals), text.substr(equals + 1));
  }
  std::sort(settings.begin(), settings.end());
  return settings;
}

}  // namespace lockstep

#include "trainer/notices/http_get.h"

#include <curl/curl.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <memory>
#include <mutex>
#include <stdexcept>

namespace lockstep {
namespace {

constexpr std::size_t kLargestAnswer = 64 << 10;

struct Target {
  std::string text;
};

std::size_t take(char* bytes, std::size_t size, std::size_t count, void* user) {
  auto& target = *static_cast<Target*>(user);
  if (target.text.size() + size * count > kLargestAnswer) return 0;  // ends the transfer
  target.text.append(bytes, size * count);
  return size * count;
}

int on_progress(void* user, curl_off_t /*total*/, curl_off_t /*now*/, curl_off_t /*upload*/,
                curl_off_t /*sent*/) {
  return static_cast<const std::atomic<bool>*>(user)->load() ? 1 : 0;
}

void initialise_once() {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
}

}  // namespace

HttpAnswer http_request(const HttpRequest& request, std::chrono::milliseconds timeout,
                        const std::atomic<bool>& stop) {
  initialise_once();
  const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> curl(curl_easy_init(), &curl_easy_cleanup);
  if (!curl) throw std::runtime_error(request.url + ": no memory to ask it");
  std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)> headers(nullptr, &curl_slist_free_all);
  for (const std::string& header : request.headers) {
    curl_slist* longer = curl_slist_append(headers.get(), header.c_str());
    if (longer == nullptr) throw std::runtime_error(request.url + ": no memory to ask it");
    (void)headers.release();
    headers.reset(longer);
  }
  Target body;
  Target head;
  std::array<char, CURL_ERROR_SIZE> error{};
  CURL* const handle = curl.get();
  curl_easy_setopt(handle, CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(handle, CURLOPT_CUSTOMREQUEST, request.method.c_str());
  curl_easy_setopt(handle, CURLOPT_HTTPHEADER, headers.get());
  curl_easy_setopt(handle, CURLOPT_TIMEOUT_MS, static_cast<long>(timeout.count()));
  curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);  // there are other threads
  curl_easy_setopt(handle, CURLOPT_NOPROXY, "*");
  curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(handle, CURLOPT_ERRORBUFFER, error.data());
  curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, take);
  curl_easy_setopt(handle, CURLOPT_WRITEDATA, &body);
  curl_easy_setopt(handle, CURLOPT_HEADERFUNCTION, take);
  curl_easy_setopt(handle, CURLOPT_HEADERDATA, &head);
  curl_easy_setopt(handle, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(handle, CURLOPT_XFERINFOFUNCTION, on_progress);
  curl_easy_setopt(handle, CURLOPT_XFERINFODATA, &stop);
  const CURLcode code = curl_easy_perform(handle);
  if (code != CURLE_OK) {
    throw std::runtime_error(request.url + ": " +
                             (error[0] != '\0' ? error.data() : curl_easy_strerror(code)));
  }
  long status = 0;
  curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &status);
  std::transform(head.text.begin(), head.text.end(), head.text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return {static_cast<int>(status), std::move(head.text), std::move(body.text)};
}

}  // namespace lockstep

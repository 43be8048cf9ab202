// A small HTTP client for metadata services: answers of a few KiB, at once or not at all. The one place that
// names libcurl.
#pragma once

#include <atomic>
#include <chrono>
#include <string>
#include <vector>

namespace lockstep {

struct HttpRequest {
  std::string url;  // http or https
  std::string method = "GET";
  std::vector<std::string> headers = {};  // "Name: value"
};

struct HttpAnswer {
  int status = 0;
  std::string headers;  // as they came, lower case
  std::string body;
};

// Asks directly, never through a proxy, and follows no redirection: what is asked lies on this machine's own
// link. Throws std::runtime_error, one line, if there is no whole answer within `timeout`, or it has more
// than 64 KiB. Ends early, within a second, once `stop` is true. From any thread.
HttpAnswer http_request(const HttpRequest& request, std::chrono::milliseconds timeout,
                        const std::atomic<bool>& stop);

}  // namespace lockstep

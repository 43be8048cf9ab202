// HttpPage: one page over HTTP, made anew for each request; what Prometheus needs to scrape.
#pragma once

#include <functional>
#include <string>
#include <thread>

namespace lockstep {

// Answers GET /metrics from a thread of its own, one client at a time: a client that says nothing for two
// seconds is dropped. prometheus-cpp's own server, civetweb, starts threads on stacks of 100 KiB, which are
// too small for a program with LibTorch's thread-local storage.
class HttpPage {
 public:
  using Page = std::function<std::string()>;  // called from that thread

  // `address`: an IP address. `port` 0: a free one. Throws std::system_error with the system's reason if it
  // cannot listen there.
  HttpPage(const std::string& address, int port, Page page);
  ~HttpPage();
  HttpPage(const HttpPage&) = delete;
  HttpPage& operator=(const HttpPage&) = delete;

  int port() const { return port_; }

 private:
  void serve();
  void answer(int client) const;

  Page page_;
  int listener_ = -1;
  int stop_ = -1;  // an eventfd
  int port_ = 0;
  std::thread thread_;
};

}  // namespace lockstep

#include "trainer/endpoint/http_page.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

namespace lockstep {
namespace {

constexpr int kClientTimeoutMs = 2000;
constexpr std::size_t kLongestRequest = 8192;

[[noreturn]] void fail(int error) {
  throw std::system_error(error, std::generic_category());
}

int listen_on(const std::string& address, int port) {
  addrinfo hints{};
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(address.c_str(), std::to_string(port).c_str(), &hints, &found) != 0) fail(EADDRNOTAVAIL);
  const int listener = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const int on = 1;
  const bool works = listener >= 0 && setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
                     bind(listener, found->ai_addr, found->ai_addrlen) == 0 && listen(listener, 8) == 0;
  const int error = errno;
  freeaddrinfo(found);
  if (works) return listener;
  if (listener >= 0) close(listener);
  fail(error);
}

int port_of(int listener) {
  sockaddr_storage bound{};
  socklen_t size = sizeof bound;
  getsockname(listener, reinterpret_cast<sockaddr*>(&bound), &size);
  return ntohs(bound.ss_family == AF_INET6 ? reinterpret_cast<const sockaddr_in6&>(bound).sin6_port
                                           : reinterpret_cast<const sockaddr_in&>(bound).sin_port);
}

// Up to the blank line that ends a request; what came until then if the client is slow or gone.
std::string read_request(int client) {
  std::string request;
  char bytes[1024];
  pollfd ready{client, POLLIN, 0};
  while (request.find("\r\n\r\n") == std::string::npos && request.size() < kLongestRequest &&
         poll(&ready, 1, kClientTimeoutMs) == 1) {
    const ssize_t count = recv(client, bytes, sizeof bytes, 0);
    if (count <= 0) break;
    request.append(bytes, static_cast<std::size_t>(count));
  }
  return request;
}

void send_all(int client, const std::string& text) {
  pollfd ready{client, POLLOUT, 0};
  for (std::size_t sent = 0; sent < text.size() && poll(&ready, 1, kClientTimeoutMs) == 1;) {
    const ssize_t count = send(client, text.data() + sent, text.size() - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count < 0) return;
    sent += static_cast<std::size_t>(count);
  }
}

std::string response(const std::string& status, const std::string& body) {
  return "HTTP/1.1 " + status +
         "\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: " +
         std::to_string(body.size()) + "\r\nConnection: close\r\n\r\n" + body;
}

}  // namespace

HttpPage::HttpPage(const std::string& address, int port, Page page)
    : page_(std::move(page)), listener_(listen_on(address, port)), stop_(eventfd(0, EFD_CLOEXEC)) {
  port_ = port_of(listener_);
  thread_ = std::thread([this] { serve(); });
}

HttpPage::~HttpPage() {
  eventfd_write(stop_, 1);
  thread_.join();
  close(listener_);
  close(stop_);
}

void HttpPage::serve() {
  pollfd events[2] = {{listener_, POLLIN, 0}, {stop_, POLLIN, 0}};
  while (poll(events, 2, -1) >= 0 || errno == EINTR) {
    if (events[1].revents != 0) return;
    const int client = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (client < 0) continue;
    answer(client);
    close(client);
  }
}

void HttpPage::answer(int client) const {
  const std::string request = read_request(client);
  const bool is_page = request.starts_with("GET /metrics ") || request.starts_with("GET /metrics?");
  try {
    send_all(client, is_page ? response("200 OK", page_()) : response("404 Not Found", "GET /metrics\n"));
  } catch (const std::exception& error) {  // a page that cannot be made must not end the run
    send_all(client, response("500 Internal Server Error", std::string(error.what()) + "\n"));
  }
}

}  // namespace lockstep

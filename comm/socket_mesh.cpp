#include "comm/socket_mesh.h"

#include <ATen/ops/empty.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/random.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <list>
#include <stdexcept>

#include "comm/agreement.h"
#include "comm/errors.h"
#include "comm/socket_address.h"

namespace lockstep {
namespace {

using Clock = std::chrono::steady_clock;
using Token = std::array<std::uint8_t, 16>;

constexpr std::size_t kMaxAddresses = 16;
constexpr auto kPatience = std::chrono::seconds(3);  // with an address that does not answer, or a stranger

// What a rank tells all others over the host communicator.
struct Contact {
  Token token{};
  std::uint16_t port = 0;
  std::uint16_t address_count = 0;
  std::array<SocketAddress, kMaxAddresses> addresses{};
};

enum class LinkKind : std::uint32_t { kData, kControl };

// What is said on a new connection, and answered with the token of `from`.
struct Hello {
  Token token{};  // of the rank that is called
  std::int32_t from = 0;
  LinkKind kind = LinkKind::kData;
};

FileDescriptor listen_anywhere(std::uint16_t& port) {
  // IPv6 sockets take IPv4 connections, too, where the machine knows IPv6.
  for (const int family : {AF_INET6, AF_INET}) {
    FileDescriptor listener(socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!listener) continue;
    sockaddr_storage address{};
    socklen_t length = family == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
    address.ss_family = static_cast<sa_family_t>(family);
    const int off = 0;
    if (family == AF_INET6) setsockopt(listener.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), length) != 0 ||
        listen(listener.get(), SOMAXCONN) != 0 ||
        getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &length) != 0) {
      continue;
    }
    sockaddr_in as_ipv4{};  // the port is in the same place
    std::memcpy(&as_ipv4, &address, sizeof as_ipv4);
    port = ntohs(as_ipv4.sin_port);
    return listener;
  }
  throw std::runtime_error("cannot listen on a TCP port: " + std::string(std::strerror(errno)));
}

void send_at_once(const FileDescriptor& socket) {
  const int on = 1;
  setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

// True when all of `size` bytes have come; `done` counts them. Throws where the other side has gone.
template <typename Move>
bool move_bytes(Move move, std::size_t size, std::size_t& done) {
  while (done < size) {
    const ssize_t moved = move(done, size - done);
    if (moved == 0) throw std::runtime_error("connection closed");
    if (moved < 0 && errno == EINTR) continue;
    if (moved < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return false;
    if (moved < 0) throw std::runtime_error(std::strerror(errno));
    done += static_cast<std::size_t>(moved);
  }
  return true;
}

// Calls one peer, address after address, until it answers.
class Call {
 public:
  Call(int peer, Hello hello, const Token& expected_answer, std::uint16_t port,
       std::vector<SocketAddress> addresses)
      : peer_(peer),
        hello_(hello),
        expected_(expected_answer),
        port_(port),
        addresses_(std::move(addresses)) {}

  int peer() const { return peer_; }
  LinkKind kind() const { return hello_.kind; }
  bool is_answered() const { return answered_; }
  const std::string& problem() const { return problem_; }
  FileDescriptor take() { return std::move(socket_); }

  pollfd poll_on() const {
    return {socket_.get(), static_cast<short>(sent_ < sizeof hello_ ? POLLOUT : POLLIN), 0};
  }

  // Goes on as far as it can; `ready` says that the socket has something new.
  void advance(bool ready) {
    try {
      if (!socket_ || Clock::now() >= patience_) return next_address();
      if (!ready) return;
      if (!move_bytes(
              [&](std::size_t at, std::size_t n) {
                return send(socket_.get(), reinterpret_cast<const char*>(&hello_) + at, n, MSG_NOSIGNAL);
              },
              sizeof hello_, sent_)) {
        return;
      }
      if (!move_bytes(
              [&](std::size_t at, std::size_t n) { return recv(socket_.get(), answer_.data() + at, n, 0); },
              answer_.size(), received_)) {
        return;
      }
      if (answer_ != expected_) throw std::runtime_error("another program answers there");
      answered_ = true;
    } catch (const std::runtime_error& error) {
      remember(error.what());
      socket_.reset();
    }
  }

 private:
  void remember(const std::string& what) { problem_ = to_string(addresses_[current_]) + ": " + what; }

  // Round and round: the peer may not be listening to us yet.
  void next_address() {
    if (socket_) remember("no answer");
    socket_.reset();
    if (tried_ > 0 && Clock::now() < pause_until_) return;
    current_ = tried_++ % addresses_.size();
    if (current_ + 1 == addresses_.size()) pause_until_ = Clock::now() + std::chrono::milliseconds(100);
    const SocketAddress& address = addresses_[current_];
    sent_ = received_ = 0;
    patience_ = Clock::now() + kPatience;
    const int family = address.family == 4 ? AF_INET : AF_INET6;
    socket_ = FileDescriptor(socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket_) throw std::runtime_error(std::strerror(errno));
    send_at_once(socket_);
    sockaddr_storage to{};
    socklen_t length = 0;
    if (address.family == 4) {
      sockaddr_in ipv4{};
      ipv4.sin_family = AF_INET;
      ipv4.sin_port = htons(port_);
      std::memcpy(&ipv4.sin_addr, address.bytes.data(), 4);
      length = sizeof ipv4;
      std::memcpy(&to, &ipv4, length);
    } else {
      sockaddr_in6 ipv6{};
      ipv6.sin6_family = AF_INET6;
      ipv6.sin6_port = htons(port_);
      std::memcpy(&ipv6.sin6_addr, address.bytes.data(), 16);
      length = sizeof ipv6;
      std::memcpy(&to, &ipv6, length);
    }
    if (connect(socket_.get(), reinterpret_cast<const sockaddr*>(&to), length) != 0 && errno != EINPROGRESS)
      throw std::runtime_error(std::strerror(errno));
  }

  const int peer_;
  const Hello hello_;
  const Token expected_;
  const std::uint16_t port_;
  const std::vector<SocketAddress> addresses_;
  FileDescriptor socket_;
  std::size_t current_ = 0;
  std::size_t tried_ = 0;
  std::size_t sent_ = 0;
  std::size_t received_ = 0;
  Token answer_{};
  Clock::time_point patience_;
  Clock::time_point pause_until_;
  bool answered_ = false;
  std::string problem_ = "not tried";
};

// One that has come and not yet said who it is.
struct Caller {
  FileDescriptor socket;
  Clock::time_point patience = Clock::now() + kPatience;
  Hello hello;
  std::size_t received = 0;
};

class Mesh {
 public:
  Mesh(int here, std::vector<int> members, FileDescriptor listener, std::vector<Contact> contacts,
       const std::vector<SocketAddress>& own_addresses)
      : here_(here),
        members_(std::move(members)),
        listener_(std::move(listener)),
        contacts_(std::move(contacts)),
        links_(members_.size()) {
    // The higher of two ranks calls the lower one.
    for (std::size_t m = 0; m < members_.size() && members_[m] < here_; ++m) {
      const Contact& theirs = contacts_[static_cast<std::size_t>(members_[m])];
      std::vector<SocketAddress> addresses(theirs.addresses.begin(),
                                           theirs.addresses.begin() + theirs.address_count);
      for (const LinkKind kind : {LinkKind::kData, LinkKind::kControl}) {
        calls_.emplace_back(static_cast<int>(m), Hello{theirs.token, here_, kind},
                            contacts_[static_cast<std::size_t>(here_)].token, theirs.port,
                            by_promise(addresses, own_addresses));
      }
    }
  }

  std::vector<SocketLink> connect(std::chrono::milliseconds timeout) {
    const auto deadline = Clock::now() + timeout;
    while (!missing().empty()) {
      if (Clock::now() >= deadline) throw std::runtime_error("cannot reach " + missing());
      turn();
    }
    return std::move(links_);
  }

 private:
  std::string missing() const {
    std::string text;
    for (std::size_t m = 0; m < members_.size(); ++m) {
      if (members_[m] == here_ || (links_[m].data && links_[m].control)) continue;
      text += (text.empty() ? "rank " : ", rank ") + std::to_string(members_[m]);
      for (const Call& call : calls_) {
        if (call.peer() == static_cast<int>(m)) {
          text += " (" + call.problem() + ")";
          break;
        }
      }
    }
    return text;
  }

  FileDescriptor& link(std::size_t member, LinkKind kind) {
    return kind == LinkKind::kData ? links_[member].data : links_[member].control;
  }

  void turn() {
    std::vector<pollfd> sockets = {{listener_.get(), POLLIN, 0}};
    for (const Call& call : calls_) sockets.push_back(call.poll_on());
    for (const Caller& caller : callers_) sockets.push_back({caller.socket.get(), POLLIN, 0});
    constexpr int kMoment = 50;
    poll(sockets.data(), sockets.size(), kMoment);
    std::size_t at = 1;
    for (auto call = calls_.begin(); call != calls_.end(); ++at) {
      call->advance(sockets[at].revents != 0);
      if (call->is_answered()) {
        link(static_cast<std::size_t>(call->peer()), call->kind()) = call->take();
        call = calls_.erase(call);
      } else {
        ++call;
      }
    }
    for (auto caller = callers_.begin(); caller != callers_.end(); ++at) {
      caller = hear(*caller, sockets[at].revents != 0) ? callers_.erase(caller) : std::next(caller);
    }
    if (sockets.front().revents != 0) accept_callers();
  }

  void accept_callers() {
    while (true) {
      FileDescriptor accepted(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (!accepted) return;
      send_at_once(accepted);
      callers_.emplace_back();
      callers_.back().socket = std::move(accepted);
    }
  }

  // True once nothing more is expected of the caller, who is then taken or dropped.
  bool hear(Caller& caller, bool ready) {
    if (!ready) return Clock::now() >= caller.patience;
    try {
      if (!move_bytes(
              [&](std::size_t at, std::size_t n) {
                return recv(caller.socket.get(), reinterpret_cast<char*>(&caller.hello) + at, n, 0);
              },
              sizeof caller.hello, caller.received)) {
        return false;
      }
    } catch (const std::runtime_error&) {
      return true;
    }
    const Hello& hello = caller.hello;
    const auto member = std::find(members_.begin(), members_.end(), hello.from);
    const bool known = hello.token == contacts_[static_cast<std::size_t>(here_)].token &&
                       member != members_.end() && hello.from > here_ &&
                       (hello.kind == LinkKind::kData || hello.kind == LinkKind::kControl);
    if (!known) return true;
    const Token& answer = contacts_[static_cast<std::size_t>(hello.from)].token;
    if (send(caller.socket.get(), answer.data(), answer.size(), MSG_NOSIGNAL) ==
        static_cast<ssize_t>(answer.size())) {
      // One who calls again has given up the connection before.
      link(static_cast<std::size_t>(member - members_.begin()), hello.kind) = std::move(caller.socket);
    }
    return true;
  }

  const int here_;
  const std::vector<int> members_;
  const FileDescriptor listener_;
  const std::vector<Contact> contacts_;
  std::vector<SocketLink> links_;
  std::list<Call> calls_;
  std::list<Caller> callers_;
};

}  // namespace

std::vector<SocketLink> connect_sockets(Communicator& host, const std::vector<int>& members,
                                        const std::string& interfaces, std::chrono::milliseconds timeout) {
  Contact mine;
  FileDescriptor listener;
  std::vector<SocketAddress> own_addresses;
  std::string problem;
  try {
    own_addresses = local_addresses(interfaces);
    listener = listen_anywhere(mine.port);
    if (getrandom(mine.token.data(), mine.token.size(), 0) != static_cast<ssize_t>(mine.token.size()))
      throw std::runtime_error("no random bytes");
    mine.address_count = static_cast<std::uint16_t>(std::min(own_addresses.size(), kMaxAddresses));
    std::copy_n(own_addresses.begin(), mine.address_count, mine.addresses.begin());
  } catch (const std::exception& error) {
    problem = error.what();  // the peers wait in the next collective
  }
  const auto world_size = static_cast<std::size_t>(host.world_size());
  const at::Tensor given = at::empty({static_cast<std::int64_t>(sizeof mine)}, at::kByte);
  std::memcpy(given.mutable_data_ptr(), &mine, sizeof mine);
  const at::Tensor gathered = at::empty({static_cast<std::int64_t>(sizeof mine * world_size)}, at::kByte);
  host.all_gather(gathered, given)->wait();
  std::vector<Contact> contacts(world_size);
  std::memcpy(contacts.data(), gathered.const_data_ptr(), sizeof mine * world_size);
  // A wrong interface is the user's error; nobody calls a rank that has none.
  if (const std::string wrong = first_problem(problem, host); !wrong.empty())
    throw std::invalid_argument(wrong);

  std::vector<SocketLink> links;
  try {
    // Half of the time, so that the others still wait for what comes of it.
    links = Mesh(host.rank(), members, std::move(listener), std::move(contacts), own_addresses)
                .connect(timeout / 2);
  } catch (const std::runtime_error& error) {
    problem = error.what();
  }
  if (const std::string failed = first_problem(problem, host); !failed.empty()) throw CommError(failed);
  return links;
}

}  // namespace lockstep

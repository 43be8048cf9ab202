#include "comm/socket_transport.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <numeric>
#include <utility>

#include "comm/errors.h"
#include "comm/socket_control.h"
#include "comm/socket_mesh.h"

namespace lockstep {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kPrefixBytes = sizeof(std::uint64_t);  // a message is preceded by its length
constexpr int kMoment = 50;                                  // ms, until the caller looks at its clock
// Fewer bytes than these do not wake a rank that waits for more: each time costs a backward pass its core.
constexpr std::size_t kWakeBytes = 128 << 10;
// A peer that is gone may have done its share, and the last of it may still be on its way from others.
constexpr auto kGrace = std::chrono::milliseconds(200);

// A message under way.
struct Parcel {
  Transport::Request request;
  char* data;
  std::uint64_t bytes;
  std::uint64_t prefix;
  std::size_t done = 0;  // of prefix and data
  std::size_t size() const { return kPrefixBytes + bytes; }
};

struct Stream {
  FileDescriptor socket;
  std::deque<Parcel> sending;
  std::deque<Parcel> receiving;
  int low_water = 1;
};

// What is left of a parcel, as at most two pieces.
std::size_t add_pieces(Parcel& parcel, iovec* into) {
  std::size_t pieces = 0;
  if (parcel.done < kPrefixBytes) {
    into[pieces++] = {reinterpret_cast<char*>(&parcel.prefix) + parcel.done, kPrefixBytes - parcel.done};
  }
  const std::size_t data_done = parcel.done < kPrefixBytes ? 0 : parcel.done - kPrefixBytes;
  if (data_done < parcel.bytes) into[pieces++] = {parcel.data + data_done, parcel.bytes - data_done};
  return pieces;
}

class SocketTransport final : public Transport {
 public:
  SocketTransport(std::vector<SocketLink> links, int here, std::vector<int> names,
                  std::chrono::milliseconds timeout)
      : here_(here),
        names_(std::move(names)),
        timeout_(timeout),
        streams_(links.size()),
        control_(controls(links), here, names_) {
    for (std::size_t p = 0; p < links.size(); ++p) streams_[p].socket = std::move(links[p].data);
  }

  int rank() const override { return here_; }
  int world_size() const override { return static_cast<int>(names_.size()); }
  int named_rank(int rank) const override { return names_[static_cast<std::size_t>(rank)]; }

  Request send(const void* data, std::size_t bytes, int peer) override {
    Stream& stream = at(peer);
    const bool idle = stream.sending.empty();
    // Only ever read from.
    stream.sending.push_back({take_request(), static_cast<char*>(const_cast<void*>(data)), bytes, bytes});
    const Request request = stream.sending.back().request;
    if (idle) flush(peer);
    return request;
  }

  Request receive(void* data, std::size_t bytes, int peer) override {
    at(peer).receiving.push_back({take_request(), static_cast<char*>(data), bytes, 0});
    return at(peer).receiving.back().request;
  }

  bool test(Request request) override {
    auto& state = states_[static_cast<std::size_t>(request)];
    if (state != State::kDone) return false;
    state = State::kFree;
    free_.push_back(request);
    return true;
  }

  void rest(int /*turns*/) override {
    polled_.clear();
    polled_peers_.clear();
    for (int p = 0; p < world_size(); ++p) {
      Stream& stream = at(p);
      short events = 0;
      if (!stream.sending.empty()) events |= POLLOUT;
      if (!stream.receiving.empty()) {
        events |= POLLIN;
        set_low_water(stream);
      }
      if (events == 0) continue;
      polled_.push_back({stream.socket.get(), events, 0});
      polled_peers_.push_back(p);
    }
    const std::size_t streams = polled_.size();
    polled_.push_back({control_.end_event(), POLLIN, 0});
    if (poll(polled_.data(), polled_.size(), somebody_gone_ ? kMoment / 5 : kMoment) < 0) return;  // a signal
    bool moved = false;
    for (std::size_t i = 0; i < streams; ++i) {
      const int peer = polled_peers_[i];
      if ((polled_[i].revents & (POLLOUT | POLLERR | POLLHUP)) != 0 && !at(peer).sending.empty())
        moved = flush(peer) || moved;
      if ((polled_[i].revents & (POLLIN | POLLERR | POLLHUP)) != 0) moved = drain(peer) || moved;
    }
    look_for_ends(polled_.back().revents != 0, moved);
  }

  void report_position(std::uint64_t collectives, const std::string& text) override {
    position_ = text;
    control_.report_position(collectives, text);
  }
  std::vector<PeerPosition> ask_positions() override { return control_.ask_positions(); }

  void close() override { control_.leave(timeout_); }
  void fail(const std::string& reason) override { control_.give_up(reason); }

 private:
  enum class State : std::uint8_t { kFree, kUnderWay, kDone };

  static std::vector<FileDescriptor> controls(std::vector<SocketLink>& links) {
    std::vector<FileDescriptor> result;
    for (SocketLink& link : links) result.push_back(std::move(link.control));
    return result;
  }

  Stream& at(int peer) { return streams_[static_cast<std::size_t>(peer)]; }

  Request take_request() {
    if (free_.empty()) {
      states_.push_back(State::kUnderWay);
      return static_cast<Request>(states_.size() - 1);
    }
    const Request request = free_.back();
    free_.pop_back();
    states_[static_cast<std::size_t>(request)] = State::kUnderWay;
    return request;
  }

  void finish(std::deque<Parcel>& parcels) {
    states_[static_cast<std::size_t>(parcels.front().request)] = State::kDone;
    parcels.pop_front();
  }

  // Gives the kernel as much as it takes. Whether that was anything.
  bool flush(int peer) {
    Stream& stream = at(peer);
    bool moved = false;
    while (!stream.sending.empty()) {
      constexpr std::size_t kParcels = 16;
      std::array<iovec, 2 * kParcels> pieces{};
      std::size_t count = 0;
      for (std::size_t i = 0; i < std::min(kParcels, stream.sending.size()); ++i)
        count += add_pieces(stream.sending[i], pieces.data() + count);
      msghdr message{};
      message.msg_iov = pieces.data();
      message.msg_iovlen = count;
      const ssize_t sent = sendmsg(stream.socket.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent < 0) {
        if (errno == EINTR) continue;
        if (errno == EAGAIN || errno == EWOULDBLOCK) return moved;
        lost(peer, std::strerror(errno));
      }
      moved = true;
      auto left = static_cast<std::size_t>(sent);
      while (left > 0) {
        Parcel& parcel = stream.sending.front();
        const std::size_t part = std::min(left, parcel.size() - parcel.done);
        parcel.done += part;
        left -= part;
        if (parcel.done == parcel.size()) finish(stream.sending);
      }
    }
    return moved;
  }

  // Takes what the kernel has, but no more than one large message, so that it can be passed on.
  bool drain(int peer) {
    Stream& stream = at(peer);
    bool moved = false;
    while (!stream.receiving.empty()) {
      Parcel& parcel = stream.receiving.front();
      std::array<iovec, 2> pieces{};
      msghdr message{};
      message.msg_iov = pieces.data();
      message.msg_iovlen = add_pieces(parcel, pieces.data());
      const ssize_t got = recvmsg(stream.socket.get(), &message, MSG_DONTWAIT);
      if (got < 0) {
        if (errno == EINTR) continue;
        if (errno == EAGAIN || errno == EWOULDBLOCK) return moved;
        lost(peer, std::strerror(errno));
      }
      if (got == 0) lost(peer, "connection closed");
      moved = true;
      parcel.done += static_cast<std::size_t>(got);
      if (parcel.done >= kPrefixBytes && parcel.prefix != parcel.bytes) {
        throw CommError("rank " + std::to_string(named_rank(here_)) + " expected " +
                            std::to_string(parcel.bytes) + " bytes from rank " +
                            std::to_string(named_rank(peer)) + ", which sent " +
                            std::to_string(parcel.prefix),
                        named_rank(peer));
      }
      if (parcel.done < parcel.size()) continue;
      const bool large = parcel.bytes > kWakeBytes / 2;
      finish(stream.receiving);
      if (large) break;
    }
    return moved;
  }

  // What comes after the first message may be sent only in answer to what this rank makes of that.
  void set_low_water(Stream& stream) {
    const Parcel& first = stream.receiving.front();
    const int wanted = static_cast<int>(std::min(first.size() - first.done, kWakeBytes));
    if (wanted == stream.low_water) return;
    stream.low_water = wanted;
    setsockopt(stream.socket.get(), SOL_SOCKET, SO_RCVLOWAT, &wanted, sizeof wanted);
  }

  void look_for_ends(bool has_news, bool moved) {
    if (moved) last_moved_ = Clock::now();
    if (!has_news && !somebody_gone_) return;
    const auto end = control_.first_end();
    if (!end) return;
    if (!end->reason.empty()) ended(*end);
    if (!somebody_gone_) last_moved_ = Clock::now();
    somebody_gone_ = true;
    if (Clock::now() - last_moved_ >= kGrace) ended(*end);
  }

  [[noreturn]] void lost(int peer, const std::string& why) {
    if (const auto end = control_.end_of(peer)) ended(*end);
    throw CommError(here() + "the connection to rank " + std::to_string(named_rank(peer)) + " failed: " + why,
                    named_rank(peer));
  }

  [[noreturn]] void ended(const SocketControl::End& end) {
    const std::string name = "rank " + std::to_string(named_rank(end.peer));
    throw CommError(here() + name + (end.reason.empty() ? " is gone" : " gave up: " + end.reason),
                    named_rank(end.peer));
  }

  std::string here() const {
    return "rank " + std::to_string(named_rank(here_)) +
           (position_.empty() ? ": " : ", which " + position_ + ": ");
  }

  const int here_;
  const std::vector<int> names_;
  const std::chrono::milliseconds timeout_;
  std::vector<Stream> streams_;
  std::vector<State> states_;
  std::vector<Request> free_;
  std::vector<pollfd> polled_;
  std::vector<int> polled_peers_;
  std::string position_;
  bool somebody_gone_ = false;
  Clock::time_point last_moved_;
  SocketControl control_;
};

}  // namespace

std::string socket_interfaces_from_environment() {
  const char* names = std::getenv("LOCKSTEP_SOCKET_IFNAME");
  return names == nullptr ? "" : names;
}

std::unique_ptr<Transport> make_socket_transport(Communicator& host, const SocketOptions& options) {
  std::vector<int> members = options.members;
  if (members.empty()) {
    members.resize(static_cast<std::size_t>(host.world_size()));
    std::iota(members.begin(), members.end(), 0);
  }
  const auto mine = std::find(members.begin(), members.end(), host.rank());
  const bool is_member = mine != members.end();
  const int here = static_cast<int>(mine - members.begin());
  std::vector<SocketLink> links =
      connect_sockets(host, is_member ? members : std::vector<int>{}, options.interfaces, options.timeout);
  if (!is_member) return nullptr;
  for (int& member : members) member = host.named_rank(member);
  return std::make_unique<SocketTransport>(std::move(links), here, std::move(members), options.timeout);
}

}  // namespace lockstep

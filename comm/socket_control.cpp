#include "comm/socket_control.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "comm/errors.h"

namespace lockstep {
namespace {

constexpr std::size_t kMaxTextBytes = 4096;

void raise_event(const FileDescriptor& event) {
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(event.get(), &one, sizeof one);  // cannot fail below 2^64
}

}  // namespace

SocketControl::SocketControl(std::vector<FileDescriptor> connections, int here, std::vector<int> names)
    : here_(here),
      end_event_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      stop_event_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      peers_(connections.size()) {
  if (!end_event_ || !stop_event_)
    throw CommError("cannot make an event: " + std::string(std::strerror(errno)));
  for (std::size_t p = 0; p < peers_.size(); ++p) {
    peers_[p].connection = std::move(connections[p]);
    peers_[p].position.rank = names[p];
  }
  thread_ = std::thread([this] { live(); });
}

SocketControl::~SocketControl() {
  raise_event(stop_event_);
  thread_.join();
}

void SocketControl::report_position(std::uint64_t collectives, std::string text) {
  const std::scoped_lock lock(mutex_);
  collectives_ = collectives;
  position_ = std::move(text);
}

std::vector<PeerPosition> SocketControl::ask_positions() {
  constexpr auto kPatience = std::chrono::seconds(1);
  std::unique_lock lock(mutex_);
  for (Peer& peer : peers_) peer.position.answered = false;
  send_to_all(Kind::kAsk, "");
  changed_.wait_for(lock, kPatience, [&] {
    return std::all_of(peers_.begin(), peers_.end(),
                       [](const Peer& p) { return !p.connection || p.position.answered; });
  });
  std::vector<PeerPosition> positions;
  for (std::size_t p = 0; p < peers_.size(); ++p) {
    if (static_cast<int>(p) == here_) continue;
    PeerPosition position = peers_[p].position;
    if (!position.answered) {
      position.text = peers_[p].end        ? peers_[p].end->empty() ? "is gone" : "gave up: " + *peers_[p].end
                      : peers_[p].has_left ? "has left"
                                           : "does not answer";
    }
    positions.push_back(std::move(position));
  }
  return positions;
}

void SocketControl::give_up(const std::string& reason) {
  const std::scoped_lock lock(mutex_);
  send_to_all(Kind::kGiveUp, reason.empty() ? "for a reason unknown" : reason);
}

void SocketControl::leave(std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex_);
  send_to_all(Kind::kLeave, "");
  const auto is_done = [](const Peer& peer) { return !peer.connection || peer.has_left || peer.end; };
  if (changed_.wait_for(lock, timeout, [&] { return std::all_of(peers_.begin(), peers_.end(), is_done); })) {
    return;
  }
  const auto awaited = std::find_if_not(peers_.begin(), peers_.end(), is_done);
  throw CommError("rank " + std::to_string(peers_[static_cast<std::size_t>(here_)].position.rank) +
                      ": leaving timed out, waiting for rank " + std::to_string(awaited->position.rank),
                  awaited->position.rank);
}

std::optional<SocketControl::End> SocketControl::first_end() {
  std::uint64_t count = 0;
  [[maybe_unused]] const ssize_t taken = read(end_event_.get(), &count, sizeof count);
  const std::scoped_lock lock(mutex_);
  return first_end_locked();
}

std::optional<SocketControl::End> SocketControl::first_end_locked() const {
  std::optional<End> found;
  for (std::size_t p = 0; p < peers_.size(); ++p) {
    if (!peers_[p].end || peers_[p].has_left || (found && peers_[p].end->empty())) continue;
    found = End{static_cast<int>(p), *peers_[p].end};
    if (!found->reason.empty()) break;
  }
  return found;
}

std::optional<SocketControl::End> SocketControl::end_of(int peer) {
  constexpr auto kPatience = std::chrono::milliseconds(500);
  std::unique_lock lock(mutex_);
  const Peer& it = peers_[static_cast<std::size_t>(peer)];
  changed_.wait_for(lock, kPatience, [&] { return it.end || it.has_left; });
  // Another's reason says more than that this one is gone.
  const std::optional<End> first = first_end_locked();
  if (first && !first->reason.empty()) return first;
  if (it.end) return End{peer, *it.end};
  return std::nullopt;
}

void SocketControl::live() {
  std::vector<pollfd> sockets(peers_.size() + 1);
  while (true) {
    sockets.back() = {stop_event_.get(), POLLIN, 0};
    {
      const std::scoped_lock lock(mutex_);
      for (std::size_t p = 0; p < peers_.size(); ++p) {
        const int connection = peers_[p].end ? -1 : peers_[p].connection.get();
        sockets[p] = {connection, POLLIN, 0};
      }
    }
    if (poll(sockets.data(), sockets.size(), -1) < 0) continue;  // a signal
    if (sockets.back().revents != 0) return;
    const std::scoped_lock lock(mutex_);
    for (std::size_t p = 0; p < peers_.size(); ++p) {
      if (sockets[p].revents != 0) read_from(peers_[p]);
    }
  }
}

void SocketControl::read_from(Peer& peer) {
  std::array<char, kMaxTextBytes> buffer{};
  const ssize_t got = recv(peer.connection.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (got > 0) {
    peer.received.append(buffer.data(), static_cast<std::size_t>(got));
    take_frames(peer);
  } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
    end(peer, "");
  }
}

void SocketControl::take_frames(Peer& peer) {
  while (peer.received.size() >= sizeof(Frame)) {
    Frame frame{};
    std::memcpy(&frame, peer.received.data(), sizeof frame);
    if (frame.bytes > kMaxTextBytes) return end(peer, "it sends nonsense");
    if (peer.received.size() < sizeof frame + frame.bytes) return;
    const std::string text = peer.received.substr(sizeof frame, frame.bytes);
    peer.received.erase(0, sizeof frame + frame.bytes);
    take(peer, frame, text);
  }
}

void SocketControl::take(Peer& peer, const Frame& frame, const std::string& text) {
  switch (frame.kind) {
    case Kind::kAsk:
      return send_to(peer, Kind::kPosition, position_, collectives_);
    case Kind::kPosition:
      peer.position.answered = true;
      peer.position.collectives = frame.collectives;
      peer.position.text = text;
      changed_.notify_all();
      return;
    case Kind::kGiveUp:
      return end(peer, text);
    case Kind::kLeave:
      peer.has_left = true;
      changed_.notify_all();
      return;
  }
  end(peer, "it sends nonsense");
}

// The first word stays. One that has left in good order may close its connection.
void SocketControl::end(Peer& peer, std::string reason) {
  if (peer.end) return;
  peer.end = std::move(reason);
  changed_.notify_all();
  if (!peer.has_left) raise_event(end_event_);
}

// A few bytes for which there is always room in a connection, unless the peer has stopped reading: then there
// is nobody to be told.
void SocketControl::send_to(Peer& peer, Kind kind, const std::string& text, std::uint64_t collectives) {
  if (!peer.connection) return;
  const std::string part = text.substr(0, kMaxTextBytes);
  const Frame frame{kind, static_cast<std::uint32_t>(part.size()), collectives};
  std::string bytes(reinterpret_cast<const char*>(&frame), sizeof frame);
  bytes += part;
  [[maybe_unused]] const ssize_t sent =
      send(peer.connection.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

void SocketControl::send_to_all(Kind kind, const std::string& text) {
  for (Peer& peer : peers_) send_to(peer, kind, text);
}

}  // namespace lockstep

// SocketControl: what ranks tell each other beside their data, at any time. Not for use outside comm/.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "comm/file_descriptor.h"
#include "comm/transport.h"

namespace lockstep {

// One connection to each peer and a thread that sleeps until something comes: it answers who asks where this
// rank is, whatever the rank is doing, and notices who gives up or is gone. Calls may come from any thread.
class SocketControl {
 public:
  // A peer that will not come any more.
  struct End {
    int peer = 0;        // index of its connection
    std::string reason;  // what it gave up for; empty: its connection ended without a word
  };

  // `connections` by peer, none at `here`; `names` are the peers' ranks for PeerPosition.
  SocketControl(std::vector<FileDescriptor> connections, int here, std::vector<int> names);
  ~SocketControl();
  SocketControl(const SocketControl&) = delete;
  SocketControl& operator=(const SocketControl&) = delete;

  void report_position(std::uint64_t collectives, std::string text);
  std::vector<PeerPosition> ask_positions();
  // Tells all peers that this rank gives up.
  void give_up(const std::string& reason);
  // Tells all peers that this rank has no more to do, and returns once each has said so or is gone. Throws
  // CommError, naming one, if that takes longer than `timeout`.
  void leave(std::chrono::milliseconds timeout);

  // Readable once somebody's end has come; it stays so until first_end() is called.
  int end_event() const { return end_event_.get(); }
  // One that gave up before one that is merely gone.
  std::optional<End> first_end();
  // Waits for a moment for what `peer` has to say about its end; its connection for data has ended.
  std::optional<End> end_of(int peer);

 private:
  enum class Kind : std::uint32_t { kAsk, kPosition, kGiveUp, kLeave };
  struct Frame {  // followed by `bytes` of text
    Kind kind;
    std::uint32_t bytes;
    std::uint64_t collectives;
  };
  struct Peer {
    FileDescriptor connection;
    std::string received;
    bool has_left = false;
    std::optional<std::string> end;
    PeerPosition position;
  };

  void live();
  void read_from(Peer& peer);
  void take_frames(Peer& peer);
  void take(Peer& peer, const Frame& frame, const std::string& text);
  void send_to(Peer& peer, Kind kind, const std::string& text, std::uint64_t collectives = 0);
  void send_to_all(Kind kind, const std::string& text);
  void end(Peer& peer, std::string reason);
  std::optional<End> first_end_locked() const;

  const int here_;
  FileDescriptor end_event_;
  FileDescriptor stop_event_;
  std::mutex mutex_;  // of all that follows
  std::condition_variable changed_;
  std::vector<Peer> peers_;
  std::uint64_t collectives_ = 0;
  std::string position_ = "has come to no collective yet";
  std::thread thread_;
};

}  // namespace lockstep

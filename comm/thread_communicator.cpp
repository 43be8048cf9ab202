// The ring collectives over mailboxes in memory: one queue for each ordered pair of ranks. The receiver
// copies straight out of the sender's buffer, so a message is complete on both sides at the same moment.
#include "comm/thread_communicator.h"

#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <utility>

#include "comm/errors.h"
#include "comm/ring_communicator.h"
#include "comm/transport.h"

namespace lockstep {
namespace {

// Small messages are copied, so that a sender which gives up may forget them; large ones lie in tensors,
// which its collective keeps alive until its transport, and with it the office, is closed.
struct Letter {
  static constexpr std::size_t kSmallBytes = 8 << 10;

  Letter(const void* content, std::size_t size) : data(content), bytes(size) {
    if (size > kSmallBytes) return;
    const auto* first = static_cast<const char*>(content);
    small.assign(first, first + size);
    data = small.data();
  }
  Letter(const Letter&) = delete;
  Letter& operator=(const Letter&) = delete;

  const void* data;
  std::size_t bytes;
  bool taken = false;
  std::vector<char> small;
};

// Shared by all ranks of one world.
class PostOffice {
 public:
  explicit PostOffice(int world_size) : world_size_(world_size) {}

  int world_size() const { return world_size_; }

  std::shared_ptr<Letter> post(int from, int to, const void* data, std::size_t bytes) {
    const std::scoped_lock lock(mutex_);
    auto letter = std::make_shared<Letter>(data, bytes);
    boxes_[{from, to}].push_back(letter);
    return letter;
  }

  bool is_taken(const Letter& letter) {
    const std::scoped_lock lock(mutex_);
    check_open();
    return letter.taken;
  }

  bool take(int from, int to, void* into, std::size_t bytes) {
    const std::scoped_lock lock(mutex_);
    check_open();
    auto& box = boxes_[{from, to}];
    if (box.empty()) return false;
    const auto letter = box.front();
    if (letter->bytes != bytes) {
      throw CommError("rank " + std::to_string(to) + " expected " + std::to_string(bytes) +
                          " bytes from rank " + std::to_string(from) + ", which sent " +
                          std::to_string(letter->bytes),
                      from);
    }
    std::memcpy(into, letter->data, bytes);
    letter->taken = true;
    box.pop_front();
    return true;
  }

  void close(const std::string& reason) {
    const std::scoped_lock lock(mutex_);
    if (reason_.empty()) reason_ = reason;
  }

 private:
  void check_open() const {
    if (!reason_.empty()) throw CommError(reason_);
  }

  const int world_size_;
  std::mutex mutex_;
  std::map<std::pair<int, int>, std::deque<std::shared_ptr<Letter>>> boxes_;
  std::string reason_;
};

class ThreadTransport final : public Transport {
 public:
  ThreadTransport(std::shared_ptr<PostOffice> office, int rank) : office_(std::move(office)), rank_(rank) {}
  // What this rank still had under way would be read from freed memory, so nobody may take it any more.
  ~ThreadTransport() override {
    if (!pending_.empty()) office_->close("rank " + std::to_string(rank_) + " left with messages under way");
  }

  int rank() const override { return rank_; }
  int world_size() const override { return office_->world_size(); }

  Request send(const void* data, std::size_t bytes, int peer) override {
    pending_[next_] = {office_->post(rank_, peer, data, bytes), nullptr, bytes, peer};
    return next_++;
  }

  Request receive(void* data, std::size_t bytes, int peer) override {
    pending_[next_] = {nullptr, data, bytes, peer};
    return next_++;
  }

  void close() override {}

  void fail(const std::string& reason) override { office_->close(reason); }

  bool test(Request request) override {
    const auto found = pending_.find(request);
    const Pending& pending = found->second;
    const bool done = pending.letter ? office_->is_taken(*pending.letter)
                                     : office_->take(pending.peer, rank_, pending.into, pending.bytes);
    if (done) pending_.erase(found);
    return done;
  }

 private:
  struct Pending {
    std::shared_ptr<Letter> letter;  // of a send
    void* into = nullptr;            // of a receive
    std::size_t bytes = 0;
    int peer = 0;
  };

  std::shared_ptr<PostOffice> office_;
  const int rank_;
  Request next_ = 0;
  std::map<Request, Pending> pending_;
};

// A RingCommunicator whose abort reaches every rank.
class ThreadCommunicator final : public Communicator {
 public:
  ThreadCommunicator(std::shared_ptr<PostOffice> office, int rank, std::chrono::milliseconds timeout,
                     ReductionOrder order)
      : office_(office),
        ring_(
            "threads", [office, rank] { return std::make_unique<ThreadTransport>(office, rank); }, timeout,
            order) {}

  int rank() const override { return ring_.rank(); }
  int world_size() const override { return ring_.world_size(); }
  std::string backend() const override { return ring_.backend(); }
  ReductionOrder reduction_order() const override { return ring_.reduction_order(); }
  WorkPtr all_reduce(at::Tensor tensor, ReduceOp op) override {
    return ring_.all_reduce(std::move(tensor), op);
  }
  WorkPtr all_reduce_rows(at::Tensor output, at::Tensor rows, ReductionOrder order) override {
    return ring_.all_reduce_rows(std::move(output), std::move(rows), order);
  }
  WorkPtr reduce_scatter(at::Tensor output, at::Tensor input, ReduceOp op) override {
    return ring_.reduce_scatter(std::move(output), std::move(input), op);
  }
  WorkPtr all_gather(at::Tensor output, at::Tensor input) override {
    return ring_.all_gather(std::move(output), std::move(input));
  }
  WorkPtr broadcast(at::Tensor tensor, int root) override { return ring_.broadcast(std::move(tensor), root); }
  WorkPtr send_receive(at::Tensor output, at::Tensor input) override {
    return ring_.send_receive(std::move(output), std::move(input));
  }
  void barrier() override { ring_.barrier(); }
  std::int64_t bytes_sent() const override { return ring_.bytes_sent(); }
  void shutdown() override { ring_.shutdown(); }
  void abort(const std::string& reason) noexcept override {
    try {
      office_->close("rank " + std::to_string(rank()) + " aborted: " + reason);
    } catch (...) {
      std::terminate();  // out of memory for an error message
    }
    ring_.abort(reason);
  }

 private:
  std::shared_ptr<PostOffice> office_;
  RingCommunicator ring_;
};

}  // namespace

std::vector<CommunicatorPtr> make_thread_communicators(int world_size, std::chrono::milliseconds timeout,
                                                       ReductionOrder order) {
  if (world_size < 1) throw std::invalid_argument("a world needs at least one rank");
  auto office = std::make_shared<PostOffice>(world_size);
  std::vector<CommunicatorPtr> communicators;
  for (int rank = 0; rank < world_size; ++rank) {
    communicators.push_back(std::make_shared<ThreadCommunicator>(office, rank, timeout, order));
  }
  return communicators;
}

}  // namespace lockstep

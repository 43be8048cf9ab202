#include "comm/shared_memory.h"

#include <ATen/ops/from_blob.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <optional>
#include <stdexcept>
#include <utility>

#include "comm/agreement.h"

namespace lockstep {
namespace {

constexpr std::int64_t kPage = 4096;
constexpr std::int64_t kHugePage = 2 << 20;
constexpr std::size_t kNameBytes = 16;

std::int64_t round_up(std::int64_t value, std::int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

[[noreturn]] void fail(const std::string& what) {
  throw std::runtime_error(what + ": " + std::strerror(errno));
}

// What `step` threw on some rank, on every rank.
template <typename Step>
std::string attempt(Communicator& communicator, Step step) {
  std::string problem;
  try {
    step();
  } catch (const std::runtime_error& error) {
    problem = error.what();
  }
  return first_problem(problem, communicator);
}

class Socket {
 public:
  Socket() : descriptor_(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    if (descriptor_ < 0) fail("cannot make a Unix socket");
  }
  explicit Socket(int descriptor) : descriptor_(descriptor) {}
  Socket(Socket&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  Socket& operator=(Socket&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  ~Socket() {
    if (descriptor_ >= 0) close(descriptor_);
  }
  int get() const { return descriptor_; }
  int release() { return std::exchange(descriptor_, -1); }

 private:
  int descriptor_;
};

// In the abstract namespace (a leading zero byte): it goes with its socket.
struct Address {
  sockaddr_un value{};
  socklen_t length = 0;

  explicit Address(const std::uint8_t* name) {
    value.sun_family = AF_UNIX;
    constexpr char kPrefix[] = "\0lockstep-";
    std::memcpy(value.sun_path, kPrefix, sizeof kPrefix - 1);
    constexpr char kDigits[] = "0123456789abcdef";
    std::size_t at = sizeof kPrefix - 1;
    for (std::size_t i = 0; i < kNameBytes; ++i) {
      value.sun_path[at++] = kDigits[name[i] >> 4];
      value.sun_path[at++] = kDigits[name[i] & 15];
    }
    length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + at);
  }
};

void wait_readable(int descriptor, std::chrono::milliseconds timeout, const char* what) {
  pollfd poll_on{descriptor, POLLIN, 0};
  const auto limit = std::min<std::int64_t>(timeout.count(), 1 << 30);
  const int ready = poll(&poll_on, 1, static_cast<int>(limit));
  if (ready == 0) throw std::runtime_error(std::string("timed out while waiting for ") + what);
  if (ready < 0) fail(std::string("cannot wait for ") + what);
}

void send_descriptor(int socket, std::int32_t rank, int descriptor) {
  iovec payload{&rank, sizeof rank};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &payload;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
  if (sendmsg(socket, &message, MSG_NOSIGNAL) != sizeof rank) fail("cannot send a memory descriptor");
}

struct Received {
  std::int32_t rank = -1;
  int descriptor = -1;
};

Received receive_descriptor(int socket) {
  Received received;
  iovec payload{&received.rank, sizeof received.rank};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &payload;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_WAITALL) != sizeof received.rank)
    fail("cannot receive a memory descriptor");
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (header == nullptr || header->cmsg_type != SCM_RIGHTS)
    throw std::runtime_error("a peer sent no memory descriptor");
  std::memcpy(&received.descriptor, CMSG_DATA(header), sizeof received.descriptor);
  return received;
}

}  // namespace

std::string machine_identity() {
  std::string boot_id;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> boot_id;
  std::array<char, 64> network{};
  if (readlink("/proc/self/ns/net", network.data(), network.size() - 1) < 0) network[0] = '\0';
  return boot_id + " " + network.data();
}

SharedMemory::Created SharedMemory::create(Communicator& communicator, std::int64_t head_bytes,
                                           std::chrono::milliseconds timeout) {
  if (!find_disagreement({{"machine", machine_identity()}}, communicator).empty())
    return {nullptr, "the ranks are on several machines"};
  const std::shared_ptr<SharedMemory> memory(new SharedMemory);
  memory->rank_ = communicator.rank();
  memory->bases_.resize(static_cast<std::size_t>(communicator.world_size()));
  memory->connections_.resize(static_cast<std::size_t>(communicator.world_size()), -1);
  std::string problem = attempt(communicator, [&] { memory->make_segment(head_bytes); });
  if (problem.empty()) {
    problem = attempt(communicator, [&] { memory->exchange_segments(communicator, timeout); });
  }
  if (!problem.empty()) return {nullptr, problem};
  return {memory, ""};
}

// As much address space as there is memory; pages come with reserve().
void SharedMemory::make_segment(std::int64_t head_bytes) {
  segment_bytes_ =
      round_up(static_cast<std::int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE), kHugePage);
  descriptor_ = memfd_create("lockstep", MFD_CLOEXEC);
  if (descriptor_ < 0) fail("cannot make shared memory (memfd_create)");
  if (ftruncate(descriptor_, segment_bytes_) != 0) fail("cannot size shared memory");
  const std::int64_t head = round_up(head_bytes, kPage);
  if (!reserve(head)) fail("cannot reserve shared memory");
  used_[0] = head;
  map_segment(rank_, descriptor_);
}

void SharedMemory::map_segment(int rank, int descriptor) {
  void* base = mmap(nullptr, static_cast<std::size_t>(segment_bytes_), PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_NORESERVE, descriptor, 0);
  if (base == MAP_FAILED) fail("cannot map shared memory");
  madvise(base, static_cast<std::size_t>(segment_bytes_), MADV_HUGEPAGE);  // only a wish
  bases_[static_cast<std::size_t>(rank)] = static_cast<std::byte*>(base);
}

// Everybody connects to everybody, which a listening socket's queue takes without anyone at the other end;
// then everybody accepts and sends its descriptor down each connection. The accepted ends are kept: one that
// ends tells that its process is gone.
void SharedMemory::exchange_segments(Communicator& communicator, std::chrono::milliseconds timeout) {
  const int peers = world_size() - 1;
  std::array<std::uint8_t, kNameBytes> name{};
  std::optional<Socket> listener;
  std::string problem;
  try {
    if (getrandom(name.data(), name.size(), 0) != static_cast<ssize_t>(name.size())) fail("no random bytes");
    listener.emplace();
    const Address mine(name.data());
    if (bind(listener->get(), reinterpret_cast<const sockaddr*>(&mine.value), mine.length) != 0 ||
        listen(listener->get(), std::max(peers, 1)) != 0) {
      fail("cannot listen on a Unix socket");
    }
  } catch (const std::runtime_error& error) {
    problem = error.what();  // the peers wait in the next collective
  }
  const at::Tensor my_name = at::empty({static_cast<std::int64_t>(kNameBytes)}, at::kByte);
  std::memcpy(my_name.data_ptr(), name.data(), name.size());
  const at::Tensor names = at::empty({world_size() * static_cast<std::int64_t>(kNameBytes)}, at::kByte);
  communicator.all_gather(names, my_name)->wait();  // also tells that everybody listens
  if (!problem.empty()) throw std::runtime_error(problem);

  std::vector<Socket> to_peers;
  for (int rank = 0; rank < world_size(); ++rank) {
    if (rank == rank_) continue;
    const Address theirs(names.const_data_ptr<std::uint8_t>() + static_cast<std::size_t>(rank) * kNameBytes);
    to_peers.emplace_back();
    if (connect(to_peers.back().get(), reinterpret_cast<const sockaddr*>(&theirs.value), theirs.length) != 0)
      fail("cannot reach rank " + std::to_string(rank) + " over a Unix socket");
  }
  std::vector<Socket> from_peers;
  for (int i = 0; i < peers; ++i) {
    wait_readable(listener->get(), timeout, "a peer's connection");
    const int accepted = accept4(listener->get(), nullptr, nullptr, SOCK_CLOEXEC);
    if (accepted < 0) fail("cannot accept a peer's connection");
    from_peers.emplace_back(accepted);
    send_descriptor(accepted, rank_, descriptor_);
  }
  for (Socket& socket : to_peers) {
    wait_readable(socket.get(), timeout, "a peer's memory");
    const Received received = receive_descriptor(socket.get());
    const Socket closes_it(received.descriptor);
    if (received.rank < 0 || received.rank >= world_size() || received.rank == rank_ ||
        connections_[static_cast<std::size_t>(received.rank)] >= 0) {
      throw std::runtime_error("a peer sent a wrong rank with its memory");
    }
    map_segment(received.rank, received.descriptor);
    connections_[static_cast<std::size_t>(received.rank)] = socket.release();
  }
  accepted_.clear();
  for (Socket& socket : from_peers) accepted_.push_back(socket.release());
}

SharedMemory::~SharedMemory() {
  for (std::byte* base : bases_) {
    if (base != nullptr) munmap(base, static_cast<std::size_t>(segment_bytes_));
  }
  for (const int connection : connections_) {
    if (connection >= 0) close(connection);
  }
  for (const int connection : accepted_) close(connection);
  if (descriptor_ >= 0) close(descriptor_);
}

// Extends what is backed by memory. The growth doubles, within reason, so that it is rare.
bool SharedMemory::reserve(std::int64_t bytes) {
  if (bytes <= reserved_bytes_) return true;
  if (bytes > segment_bytes_) {
    errno = ENOSPC;
    return false;
  }
  if (fallocate(descriptor_, 0, reserved_bytes_, bytes - reserved_bytes_) != 0) return false;
  reserved_bytes_ = bytes;
  return true;
}

void* SharedMemory::allocate(std::int64_t bytes) {
  bytes = round_up(std::max<std::int64_t>(bytes, 1), kPage);
  const std::scoped_lock lock(mutex_);
  auto best = free_.end();
  for (auto block = free_.begin(); block != free_.end(); ++block) {
    if (block->second >= bytes && (best == free_.end() || block->second < best->second)) best = block;
  }
  Offset offset = 0;
  if (best != free_.end()) {
    offset = best->first;
    const std::int64_t rest = best->second - bytes;
    free_.erase(best);
    if (rest > 0) free_[offset + bytes] = rest;
  } else {
    offset = used_.empty() ? 0 : used_.rbegin()->first + used_.rbegin()->second;
    if (!free_.empty()) offset = std::max(offset, free_.rbegin()->first + free_.rbegin()->second);
    const std::int64_t before = reserved_bytes_;
    if (!reserve(offset + bytes)) return nullptr;
    // Mapped here and now rather than page by page in the middle of a step.
    if (reserved_bytes_ > before) {
      madvise(at(rank_, before), static_cast<std::size_t>(reserved_bytes_ - before), MADV_POPULATE_WRITE);
    }
  }
  used_[offset] = bytes;
  return at(rank_, offset);
}

void SharedMemory::deallocate(void* data) {
  const std::scoped_lock lock(mutex_);
  const auto found = used_.find(offset_of(data));
  if (found == used_.end()) return;
  auto [offset, bytes] = *found;
  used_.erase(found);
  const auto next = free_.find(offset + bytes);
  if (next != free_.end()) {
    bytes += next->second;
    free_.erase(next);
  }
  auto before = free_.lower_bound(offset);
  if (before != free_.begin() && std::prev(before)->first + std::prev(before)->second == offset) {
    std::prev(before)->second += bytes;
  } else {
    free_[offset] = bytes;
  }
}

at::Tensor SharedMemory::allocate_tensor(at::IntArrayRef sizes, const at::TensorOptions& options) {
  std::int64_t elements = 1;
  for (const std::int64_t size : sizes) elements *= size;
  const auto bytes = elements * static_cast<std::int64_t>(options.dtype().itemsize());
  void* data = allocate(bytes);
  if (data == nullptr) return {};
  return at::from_blob(
      data, sizes, [memory = shared_from_this()](void* block) { memory->deallocate(block); },
      options.device(at::kCPU));
}

std::vector<int> SharedMemory::departed_ranks() const {
  std::vector<pollfd> sockets;
  std::vector<int> ranks;
  for (int rank = 0; rank < world_size(); ++rank) {
    if (rank == rank_) continue;
    sockets.push_back({connections_[static_cast<std::size_t>(rank)], POLLIN, 0});
    ranks.push_back(rank);
  }
  std::vector<int> departed;
  if (poll(sockets.data(), sockets.size(), 0) <= 0) return departed;
  for (std::size_t i = 0; i < sockets.size(); ++i) {
    if (sockets[i].revents != 0) departed.push_back(ranks[i]);  // nobody ever writes: it is the end
  }
  return departed;
}

}  // namespace lockstep

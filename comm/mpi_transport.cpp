#include "comm/mpi_transport.h"

#define OMPI_SKIP_MPICXX 1  // the C++ bindings were removed from MPI, and would have to be linked
#include <mpi.h>

#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "comm/errors.h"

namespace lockstep {
namespace {

constexpr int kTag = 1;

std::string error_text(int code) {
  char text[MPI_MAX_ERROR_STRING] = {};
  int length = 0;
  MPI_Error_string(code, text, &length);
  return std::string(text, static_cast<std::size_t>(length));
}

void check(int code, const std::string& what, int peer = CommError::kUnknownPeer) {
  if (code != MPI_SUCCESS) throw CommError(what + ": " + error_text(code), peer);
}

class MpiTransport final : public Transport {
 public:
  explicit MpiTransport(const Placement& placement) {
    initialise();
    check(MPI_Comm_dup(MPI_COMM_WORLD, &comm_), "MPI_Comm_dup");  // our messages meet nobody else's
    MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN);
    MPI_Comm_rank(comm_, &rank_);
    MPI_Comm_size(comm_, &world_size_);
    if (rank_ != placement.rank || world_size_ != placement.world_size) {
      close();
      throw std::invalid_argument(
          "MPI says rank " + std::to_string(rank_) + " of " + std::to_string(world_size_) +
          ", the environment (" + to_string(placement.launched_by) + ") says rank " +
          std::to_string(placement.rank) + " of " + std::to_string(placement.world_size) +
          ": start all ranks with one mpirun of the OpenMPI that Lockstep was built with");
    }
  }

  int rank() const override { return rank_; }
  int world_size() const override { return world_size_; }

  Request send(const void* data, std::size_t bytes, int peer) override {
    const Request slot = take_slot(bytes, peer, /*is_receive=*/false);
    started(MPI_Isend(data, to_count(bytes), MPI_BYTE, peer, kTag, comm_, &at(slot).request), "send", peer);
    return slot;
  }

  Request receive(void* data, std::size_t bytes, int peer) override {
    const Request slot = take_slot(bytes, peer, /*is_receive=*/true);
    started(MPI_Irecv(data, to_count(bytes), MPI_BYTE, peer, kTag, comm_, &at(slot).request), "receive",
            peer);
    return slot;
  }

  void close() override {
    MPI_Comm_free(&comm_);
    if (finalises_) MPI_Finalize();
  }

  // Nothing that does not wait: the launcher ends the peers once this process has left.
  void fail(const std::string& /*reason*/) override {}

  bool test(Request slot) override {
    Message& message = at(slot);
    int done = 0;
    MPI_Status status;
    const int code = MPI_Test(&message.request, &done, &status);
    if (code != MPI_SUCCESS) {
      throw CommError("message between rank " + std::to_string(rank_) + " and rank " +
                          std::to_string(message.peer) + " failed: " + error_text(code),
                      message.peer);
    }
    if (!done) return false;
    message.in_use = false;
    if (message.is_receive) check_length(status, message);
    return true;
  }

 private:
  // Where the process uses MPI itself, MPI is its to finalise.
  void initialise() {
    int initialized = 0;
    MPI_Initialized(&initialized);
    finalises_ = initialized == 0;
    int granted = 0;
    if (finalises_) {
      check(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &granted), "MPI_Init_thread");
      if (granted >= MPI_THREAD_FUNNELED) return;
      throw CommError("this MPI grants no thread support (MPI_THREAD_FUNNELED is needed)");
    }
    MPI_Query_thread(&granted);
    if (granted < MPI_THREAD_SERIALIZED) {
      throw CommError(
          "MPI was already initialised in this process without MPI_THREAD_SERIALIZED, which a second thread "
          "needs");
    }
  }

  struct Message {
    MPI_Request request = MPI_REQUEST_NULL;
    std::size_t bytes = 0;
    int peer = 0;
    bool is_receive = false;
    bool in_use = false;
  };

  static int to_count(std::size_t bytes) {
    if (bytes > static_cast<std::size_t>(std::numeric_limits<int>::max())) {
      throw std::invalid_argument("a message may have at most 2 GiB");
    }
    return static_cast<int>(bytes);
  }

  Message& at(Request slot) { return messages_[static_cast<std::size_t>(slot)]; }

  Request take_slot(std::size_t bytes, int peer, bool is_receive) {
    Request slot = 0;
    while (slot < static_cast<Request>(messages_.size()) && at(slot).in_use) ++slot;
    if (slot == static_cast<Request>(messages_.size())) messages_.emplace_back();
    at(slot) = {MPI_REQUEST_NULL, bytes, peer, is_receive, true};
    return slot;
  }

  void started(int code, const char* what, int peer) {
    check(code, "rank " + std::to_string(rank_) + " cannot " + what + ", peer rank " + std::to_string(peer),
          peer);
  }

  void check_length(const MPI_Status& status, const Message& message) {
    int received = 0;
    MPI_Get_count(&status, MPI_BYTE, &received);
    if (static_cast<std::size_t>(received) == message.bytes) return;
    throw CommError("rank " + std::to_string(rank_) + " expected " + std::to_string(message.bytes) +
                        " bytes from rank " + std::to_string(message.peer) + ", which sent " +
                        std::to_string(received),
                    message.peer);
  }

  MPI_Comm comm_ = MPI_COMM_NULL;
  bool finalises_ = true;
  int rank_ = 0;
  int world_size_ = 1;
  std::vector<Message> messages_;
};

}  // namespace

std::unique_ptr<Transport> make_mpi_transport(const Placement& placement) {
  if (!placement.mpi_launched()) {
    throw std::invalid_argument(
        "the mpi backend needs an MPI launcher (mpirun); this process was started by " +
        to_string(placement.launched_by));
  }
  return std::make_unique<MpiTransport>(placement);
}

}  // namespace lockstep

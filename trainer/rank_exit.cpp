#include "trainer/rank_exit.h"

#include <c10/util/Exception.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <exception>
#include <iostream>
#include <stdexcept>
#include <thread>

#include "comm/errors.h"
#include "sampler/data_error.h"
#include "trainer/checkpoint/durable_file.h"
#include "trainer/out_of_memory.h"
#include "trainer/start_up.h"

namespace lockstep {
namespace {

void print_error(const std::string& message) {
  std::fprintf(stderr, "lockstep: error: %s\n", message.c_str());
}

// Leaves a report for the launcher, which then speaks for all ranks. False if there is none, or it cannot be
// told.
bool report(int rank, const RankEnding& ending) {
  const auto dir = exit_report_dir();
  return !dir.empty() && write_exit_report(dir, {rank, ending.code, ending.message, ending.peer});
}

// The destructors of LibTorch's and CUDA's statics take a second or two, in which a rented machine does
// nothing. All that was to be written is, and the communicator is shut down.
[[noreturn]] void leave_at_once(int status) {
  std::cout.flush();
  std::fflush(nullptr);
  _exit(status);
}

}  // namespace

int leave_together(int rank, const RankEnding& ending) {
  if (report(rank, ending)) return 0;
  const bool paused = ending.code == ExitCode::kPaused || ending.code == ExitCode::kBudget;
  if (rank == 0 && paused) std::printf("lockstep: %s\n", ending.message.c_str());
  if (rank == 0 && !paused && !ending.message.empty()) print_error(ending.message);
  return static_cast<int>(ending.code);
}

int leave_before_meeting(int rank, const RankEnding& ending) {
  if (report(rank, ending)) return static_cast<int>(ending.code);
  if (rank != 0) std::this_thread::sleep_for(std::chrono::seconds(1));
  print_error(ending.message);
  return static_cast<int>(ending.code);
}

[[noreturn]] void leave_alone(int rank, const RankEnding& ending) {
  if (!report(rank, ending)) print_error(ending.message);
  leave_at_once(static_cast<int>(ending.code));
}

void end_rank(int rank, const std::function<RankEnding()>& body) {
  const std::string this_rank = "rank " + std::to_string(rank) + ": ";
  try {
    leave_at_once(leave_together(rank, body()));
  } catch (const AgreedStop& stop) {
    leave_at_once(leave_together(rank, {stop.code(), stop.what()}));
  } catch (const LoneStop& stop) {
    leave_alone(rank, {stop.code(), this_rank + stop.what()});
  } catch (const std::invalid_argument& error) {
    leave_at_once(leave_before_meeting(rank, {ExitCode::kUsage, error.what()}));
  } catch (const DiskFullError& error) {
    leave_alone(rank, {ExitCode::kPeerFailed, this_rank + error.what()});
  } catch (const DataError& error) {
    leave_alone(rank, {ExitCode::kBadInput, this_rank + error.what()});
  } catch (const CommError& error) {
    leave_alone(rank, {ExitCode::kPeerFailed, error.what(), error.peer()});  // says which rank by itself
  } catch (const c10::OutOfMemoryError& error) {  // outside a training step, which says more
    const std::string size = size_asked_for(error);
    leave_alone(rank, {ExitCode::kPeerFailed,
                       this_rank + "out of GPU memory" +
                           (size.empty() ? "" : ", where " + size + " more was asked for") +
                           "; lower --batch-size or --eval-batch-size (lockstep estimate, with the "
                           "same options, tells which batch fits)"});
  } catch (const std::exception& error) {
    const std::string text = error.what();  // LibTorch's go on with a stack trace
    leave_alone(rank, {ExitCode::kPeerFailed, this_rank + text.substr(0, text.find('\n'))});
  }
}

}  // namespace lockstep

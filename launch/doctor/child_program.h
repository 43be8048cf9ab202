// ChildProgram: a program that runs beside this one and exchanges lines with it.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "comm/file_descriptor.h"
#include "launch/mpirun.h"

namespace lockstep {

// Not thread-safe. Its standard error is kept, for what it says when it fails.
class ChildProgram {
 public:
  using Clock = std::chrono::steady_clock;

  // Starts it, in a process group of its own. Throws std::system_error if that fails.
  ChildProgram(const std::vector<std::string>& arguments, const Environment& environment);
  // Closes its input, and ends it if it is still there after a moment.
  ~ChildProgram();
  ChildProgram(const ChildProgram&) = delete;
  ChildProgram& operator=(const ChildProgram&) = delete;

  // The next line of its output, without its end. None: it has closed it, or the time is up.
  std::optional<std::string> read_line(Clock::time_point deadline);
  // False if it does not listen any more.
  bool write_line(const std::string& line);
  // What it has printed to its standard error so far, the first 64 KiB.
  std::string error_text() const;

 private:
  FileDescriptor input_;
  FileDescriptor output_;
  FileDescriptor error_;
  pid_t pid_ = -1;
  std::string unread_;
};

}  // namespace lockstep

// Runs a job to its end: starts it in a session of its own, tells it about signals, and leaves no process
// behind.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "launch/job_signals.h"
#include "launch/mpirun.h"

namespace lockstep {

struct SupervisedJob {
  JobCommand command;
  bool direct = false;             // one rank without mpirun: signals go to its process group
  int world_size = 1;              // 0: nobody notes a start, so that it is told of a pause at once
  std::filesystem::path exit_dir;  // where ranks note that they have started
  std::function<void(const std::string&)> say;  // one line for the user
  std::string on_first_signal = {};             // what is said then
  std::filesystem::path output = {};            // a file for its output and errors; empty: ours
};

struct JobStatus {
  int status = 0;               // of the command: its exit code, or 128 + the signal that ended it
  bool forced = false;          // a second signal ended it
  bool asked_to_pause = false;  // a signal came
};

// Blocks until the job has ended. The first of `signals` asks the ranks for a pause (SIGUSR1, as soon as all
// have started); a second one, SIGHUP apart, ends them (SIGTERM, and SIGKILL five seconds later), a third at
// once. When this process dies, so does the job: the kernel then sends the command a SIGTERM (SIGKILL if
// direct). To be called from the main thread. Throws std::system_error if the command cannot be started.
JobStatus run_job(const SupervisedJob& job, const JobSignals& signals);

}  // namespace lockstep

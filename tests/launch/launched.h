// Runs the real `lockstep` program for a test and looks at what it prints, returns and leaves behind.
#pragma once

#include <sys/types.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "tests/temporary_folder.h"

namespace lockstep {

class Launched {
 public:
  using Variables = std::map<std::string, std::string>;

  // Starts `lockstep` with these arguments in a new folder. FAKE_RANK... in `variables` is the ranks' script.
  // With `terminal_columns`, standard output and error are one terminal of that width.
  explicit Launched(const std::vector<std::string>& arguments, const Variables& variables = {},
                    int terminal_columns = 0);
  // Ends what is left of it.
  ~Launched();
  Launched(const Launched&) = delete;
  Launched& operator=(const Launched&) = delete;

  pid_t pid() const { return pid_; }
  const std::filesystem::path& folder() const { return folder_.path(); }

  void send(int signal) const;
  // Waits until `holds`, a minute at most; throws with `what` has not come and its standard error.
  void wait_for(const std::string& what, const std::function<bool()>& holds) const;
  // Waits for a file in folder(); its text.
  std::string wait_for_file(const std::string& name) const;
  // Waits until standard error has this text.
  void wait_for_error(const std::string& text) const;
  pid_t pid_of_rank(int rank, const std::string& touched) const;
  // Waits for its end, two minutes at most; its exit code, or 128 + signal.
  int wait();
  // After wait().
  const std::string& output() const { return output_; }
  const std::string& error() const { return error_; }
  double duration_s() const { return duration_s_; }

 private:
  TemporaryFolder folder_;
  pid_t pid_ = -1;
  int terminal_ = -1;
  double started_s_ = 0;
  double duration_s_ = 0;
  std::string output_;
  std::string error_;
};

// True as soon as no such process is left (a zombie is none), false if it still is after `seconds`.
bool ends_within(pid_t pid, double seconds);

double monotonic_s();

}  // namespace lockstep

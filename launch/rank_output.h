// Labels a rank's output, so that many ranks can share one terminal.
#pragma once

#include <string>
#include <string_view>

namespace lockstep {

// Turns a stream of bytes into whole lines that start with a label. Not thread-safe.
class LineLabeller {
 public:
  // `label` is put before every line as it is.
  explicit LineLabeller(std::string label);

  // The lines that `bytes` completes, labelled, each with its line break; what is left waits for more. A
  // carriage return ends a line too: a bar that redraws itself would overwrite rank 0's. A line longer than
  // kLongestLine is cut into several.
  std::string feed(std::string_view bytes);
  // What is still waiting, as a last line.
  std::string finish();

  static constexpr std::size_t kLongestLine = 1 << 16;  // bytes

 private:
  void end_line(std::string& lines);

  std::string label_;
  std::string waiting_;
  bool after_carriage_return_ = false;
};

}  // namespace lockstep

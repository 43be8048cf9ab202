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

// Writes `lines` to `fd` as whole lines, as many at a time as a terminal passes on in one piece: what reads
// the other end (mpirun, whose ranks write to pseudo-terminals) sees no part of a line. A longer line, and
// what follows the last line break, go by themselves. Stops in silence where nobody listens any more.
void write_lines(int fd, std::string_view lines);
// Linux' tty_write() takes this many bytes of a write at a time, and the reader may come between.
inline constexpr std::size_t kTerminalPiece = 2048;  // bytes

}  // namespace lockstep

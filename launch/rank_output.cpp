#include "launch/rank_output.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace lockstep {
namespace {

// How many bytes of `lines` go into one write.
std::size_t next_piece(std::string_view lines) {
  if (lines.size() <= kTerminalPiece) {
    return lines.size();
  }
  std::size_t line_break = lines.rfind('\n', kTerminalPiece - 1);
  if (line_break == std::string_view::npos) {
    line_break = lines.find('\n');
  }
  return line_break == std::string_view::npos ? lines.size() : line_break + 1;
}

}  // namespace

LineLabeller::LineLabeller(std::string label) : label_(std::move(label)) {}

void LineLabeller::end_line(std::string& lines) {
  lines += label_ + waiting_ + "\n";
  waiting_.clear();
}

std::string LineLabeller::feed(std::string_view bytes) {
  std::string lines;
  for (const char c : bytes) {
    if (c == '\r') {
      if (!waiting_.empty()) {
        end_line(lines);
      }
    } else if (c == '\n') {
      const bool already_ended = after_carriage_return_ && waiting_.empty();
      if (!already_ended) {
        end_line(lines);
      }
    } else {
      waiting_ += c;
      if (waiting_.size() >= kLongestLine) {
        end_line(lines);
      }
    }
    after_carriage_return_ = c == '\r';
  }
  return lines;
}

std::string LineLabeller::finish() {
  std::string lines;
  if (!waiting_.empty()) {
    end_line(lines);
  }
  return lines;
}

void write_lines(int fd, std::string_view lines) {
  std::size_t piece = next_piece(lines);
  while (piece > 0) {
    const ssize_t written = write(fd, lines.data(), piece);
    if (written < 0 && errno != EINTR) {
      return;
    }
    const auto passed = static_cast<std::size_t>(std::max<ssize_t>(written, 0));
    lines.remove_prefix(passed);
    piece = passed < piece ? piece - passed : next_piece(lines);
  }
}

}  // namespace lockstep

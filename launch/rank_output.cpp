#include "launch/rank_output.h"

#include <utility>

namespace lockstep {

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

}  // namespace lockstep

#include "launch/network_bytes.h"

#include <fstream>
#include <iterator>
#include <sstream>
#include <stdexcept>

namespace lockstep {

SentBytes parse_sent_bytes(const std::string& text) {
  SentBytes sent;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t colon = line.find(':');  // the two lines of the head have none
    if (colon == std::string::npos) continue;
    const std::size_t begin = line.find_first_not_of(' ');
    std::istringstream numbers(line.substr(colon + 1));
    constexpr int kSentColumn = 9;  // after eight of what was received
    std::int64_t bytes = 0;
    int column = 0;
    while (column < kSentColumn && numbers >> bytes) ++column;
    if (column == kSentColumn) sent[line.substr(begin, colon - begin)] = bytes;
  }
  return sent;
}

SentBytes read_sent_bytes() {
  std::ifstream file("/proc/thread-self/net/dev");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!file) throw std::runtime_error("/proc/thread-self/net/dev cannot be read");
  return parse_sent_bytes(text);
}

SentBytes sent_between(const SentBytes& before, const SentBytes& after) {
  SentBytes sent;
  for (const auto& [interface, bytes] : after) {
    const auto found = before.find(interface);
    sent[interface] = bytes - (found == before.end() ? 0 : found->second);
  }
  return sent;
}

void add_sent(SentBytes& total, const SentBytes& more) {
  for (const auto& [interface, bytes] : more) total[interface] += bytes;
}

}  // namespace lockstep

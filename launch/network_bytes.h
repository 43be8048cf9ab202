// What network interfaces have sent, by the kernel's counters: the proof of which link carried the bytes.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace lockstep {

// Bytes that each interface has sent since it is there.
using SentBytes = std::map<std::string, std::int64_t>;

// Of the network namespace that the calling thread is in (/proc/thread-self/net/dev). Throws
// std::runtime_error if it cannot be read.
SentBytes read_sent_bytes();
// The same from such a file's text.
SentBytes parse_sent_bytes(const std::string& text);

// What was sent from `before` to `after`; interfaces that came in between count from 0, those that went are
// left out.
SentBytes sent_between(const SentBytes& before, const SentBytes& after);
// Interfaces of the same name together.
void add_sent(SentBytes& total, const SentBytes& more);

}  // namespace lockstep

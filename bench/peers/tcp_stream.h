// A raw TCP stream round the ring of ranks: what the wire gives when nothing is added up.
#pragma once

#include <cstddef>
#include <vector>

#include "bench/world.h"

namespace lockstep {

// A connection to the rank on the left and one from the rank on the right, as a ring all-reduce has them. One
// thread; all ranks make it, and call exchange() equally often with equal sizes.
class TcpStream {
 public:
  // Collective. Throws CommError if a neighbour cannot be reached.
  explicit TcpStream(const BenchWorld& world);
  ~TcpStream();
  TcpStream(const TcpStream&) = delete;
  TcpStream& operator=(const TcpStream&) = delete;

  // Sends `bytes` bytes to the left, over and over from the first `data_bytes` of `data`, and at the same
  // time receives as many from the right. Throws CommError when a neighbour is gone or silent for the
  // timeout.
  void exchange(const char* data, std::size_t data_bytes, std::size_t bytes);

 private:
  int rank_;
  int timeout_ms_;
  int to_left_ = -1;
  int from_right_ = -1;
  std::vector<char> received_;  // thrown away
};

}  // namespace lockstep

// Several "hosts" on this machine: network namespaces on one switch, each behind a wire of a given rate.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <vector>

#include "launch/network_bytes.h"

namespace lockstep {

struct WirePlan {
  std::string rate;  // as wire_rate() allows: both ends of each cable are shaped to it (tbf)
  int hosts = 2;
  int slots = 1;  // ranks on each
};

// What keeps this process from making such wires; empty: nothing does. It tries.
std::string why_no_wires();

// Removes the wires of processes that are no longer there; their number. Those of others are left alone.
int remove_abandoned_wires();

// Made on construction and gone after destruction. A process of its own removes them when this one dies in
// whatever way, and what survives that too (both killed at once) is found by remove_abandoned_wires().
class ShapedWire {
 public:
  // Throws DataError that says what is missing.
  explicit ShapedWire(const WirePlan& plan);
  ~ShapedWire();
  ShapedWire(const ShapedWire&) = delete;
  ShapedWire& operator=(const ShapedWire&) = delete;

  static constexpr const char* kInterface = "wire0";  // of every host

  // One line a host, as Open MPI reads it.
  std::filesystem::path hostfile() const { return folder_ / "hosts"; }
  // Has this process stand in the first host from now on, and tells Open MPI and Gloo by the environment how
  // to reach the others. Back outside in the destructor.
  void enter();
  // What all hosts have sent, by interface.
  SentBytes sent_bytes() const;

 private:
  void make(const WirePlan& plan);
  void tidy();

  std::string tag_;
  std::filesystem::path folder_;
  std::vector<int> namespaces_;  // descriptors of the hosts'
  int outside_ = -1;
  pid_t janitor_ = -1;
  int janitor_pipe_ = -1;  // while it is open the janitor waits
};

}  // namespace lockstep

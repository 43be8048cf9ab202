// Slots: which places for ranks a job uses, with --min-nproc: those that keep failing are left out, and tried
// again at a later restart. Pure arithmetic.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

namespace lockstep {

struct SlotLimits {
  int nproc_per_node = 1;
  int nnodes = 1;              // to use
  int hosts = 1;               // to choose from, at least nnodes
  int min_nproc = 0;           // ranks to go on with at least; 0: all
  int most_ranks = 0;          // that the run may have; 0: any number
  int logical_world_size = 1;  // a number of ranks has to divide it
};

// The ranks of one attempt: rank r is at hosts[r / nproc_per_node].
struct SlotChoice {
  int nproc_per_node = 1;
  std::vector<int> hosts = {0};  // by their place in the hostfile
  int world_size() const { return nproc_per_node * static_cast<int>(hosts.size()); }
  bool operator==(const SlotChoice&) const = default;
};

// On one machine a place is as good as another, so that a rank less is started; of several machines one is
// left out whole.
class Slots {
 public:
  explicit Slots(SlotLimits limits);

  const SlotChoice& choice() const { return choice_; }
  // Of the attempt with choice() that has failed: whose failure it was (-1: nobody knows), and whether it had
  // come further than those before. Then choice() is the next attempt's. Who fails twice running is left out;
  // after progress all are taken in again, and one that was left out before is at its first failure. Returns
  // what has changed, a line for the user, or nothing; throws std::runtime_error where fewer than min_nproc
  // are left.
  std::optional<std::string> failed(int rank, bool progress);

 private:
  SlotChoice choose() const;

  const SlotLimits limits_;
  int last_failed_ = -1;    // a host, or on one machine a rank
  std::set<int> suspects_;  // were left out before
  std::set<int> left_out_;  // now
  SlotChoice choice_;       // last: it is made of the others
};

}  // namespace lockstep

#include "launch/slots.h"

#include <algorithm>
#include <stdexcept>

namespace lockstep {

Slots::Slots(SlotLimits limits) : limits_(limits), choice_(choose()) {}

SlotChoice Slots::choose() const {
  const bool one_machine = limits_.hosts == 1;
  const int gone = static_cast<int>(left_out_.size());
  std::vector<int> hosts;
  for (int host = 0; host < limits_.hosts && static_cast<int>(hosts.size()) < limits_.nnodes; ++host) {
    if (one_machine || !left_out_.contains(host)) hosts.push_back(host);
  }
  const int most_per_node = one_machine ? limits_.nproc_per_node - gone : limits_.nproc_per_node;
  if (limits_.min_nproc == 0 && limits_.most_ranks == 0) return {limits_.nproc_per_node, hosts};
  const auto allowed = [&](int ranks) {
    return limits_.logical_world_size % ranks == 0 &&
           (limits_.most_ranks == 0 || ranks <= limits_.most_ranks);
  };
  SlotChoice best{0, {}};
  for (int nodes = static_cast<int>(hosts.size()); nodes > 0; --nodes) {
    for (int per_node = most_per_node; per_node > 0; --per_node) {
      const int ranks = nodes * per_node;
      // Where fewer ranks are to cost less, as many on fewer machines cost less still.
      const bool better = ranks > best.world_size() || (limits_.most_ranks > 0 && ranks == best.world_size());
      if (allowed(ranks) && better) {
        best = {per_node, {hosts.begin(), hosts.begin() + nodes}};
      }
    }
  }
  return best;
}

std::optional<std::string> Slots::failed(int rank, bool progress) {
  if (limits_.min_nproc == 0) return std::nullopt;
  const bool one_machine = limits_.hosts == 1;
  const SlotChoice before = choice_;
  const int place = rank < 0 || rank >= choice_.world_size() ? -1
                    : one_machine                            ? rank
                                  : choice_.hosts[static_cast<std::size_t>(rank / choice_.nproc_per_node)];
  const bool again = place >= 0 && (place == last_failed_ || suspects_.contains(place));
  last_failed_ = place;
  if (progress && !left_out_.empty()) {
    left_out_.clear();
    last_failed_ = -1;
  } else if (again) {
    // On one machine it is the last place that is not started, whoever failed.
    const int out = one_machine ? limits_.nproc_per_node - 1 - static_cast<int>(left_out_.size()) : place;
    left_out_.insert(out);
    suspects_.insert(place);
    last_failed_ = -1;
  }
  choice_ = choose();
  if (choice_ == before) return std::nullopt;
  const std::string counts =
      std::to_string(choice_.world_size()) + " ranks, not " + std::to_string(before.world_size());
  if (choice_.world_size() < limits_.min_nproc || choice_.world_size() == 0) {
    throw std::runtime_error("fewer than --min-nproc " + std::to_string(limits_.min_nproc) +
                             " ranks are left that could share the " +
                             std::to_string(limits_.logical_world_size) + " logical ones");
  }
  const std::string same_bits = "; they share the same " + std::to_string(limits_.logical_world_size) +
                                " logical ranks, so that no bit changes";
  if (choice_.world_size() > before.world_size()) {
    return "takes in again what was left out: goes on with " + counts + same_bits;
  }
  const std::string who = one_machine
                              ? "rank " + std::to_string(rank) + " keeps failing"
                              : "host " + std::to_string(place + 1) + " of the hostfile keeps failing";
  return who + ": goes on with " + counts + same_bits;
}

}  // namespace lockstep

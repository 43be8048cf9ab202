// Latency and bandwidth from all-reduces that were measured, and the all-reduces of more ranks from those.
//
// A ring all-reduce of n bytes over p ranks is 2(p-1) messages one after the other, each of n/p bytes to the
// neighbour (Patarasuk and Yuan, "Bandwidth optimal all-reduce algorithms for clusters of workstations",
// 2009). With a message of m bytes taking hop.latency_s + m * hop.s_per_byte (Hockney's model) it takes
// 2(p-1) * hop.latency_s + n * 2(p-1)/p * hop.s_per_byte.
#pragma once

#include <cstdint>
#include <vector>

#include "comm/bucket_caps.h"

namespace lockstep {

// A measured size beside the line through all of them.
struct FitPoint {
  std::int64_t bytes = 0;
  double measured_s = 0.0;
  double fitted_s = 0.0;

  double residual() const { return measured_s / fitted_s - 1.0; }
};

struct LinkFit {
  LinkModel all_reduce;  // of the ranks that were measured
  std::vector<FitPoint> points;

  // The largest of the residuals, without its sign.
  double worst_residual() const;
};

// One size and its median time each. Throws std::invalid_argument as fit_link().
LinkFit fit_all_reduce(const std::vector<FitPoint>& measured);

// One message to the neighbour, from the all-reduce of `ranks` (at least 2; std::invalid_argument).
LinkModel hop_of(const LinkModel& all_reduce, int ranks);

// The all-reduce of `ranks` over one ring; nothing to do for one.
LinkModel ring_all_reduce(const LinkModel& hop, int ranks);

// Hosts of `ranks_per_host` ranks each: sums within each host, which take `within`, and a ring of hosts over
// `hop`, which carries each byte once for a host. Ranks of one host take `within` alone. Throws
// std::invalid_argument unless ranks_per_host divides ranks of several.
LinkModel hierarchical_all_reduce(const LinkModel& within, const LinkModel& hop, int ranks,
                                  int ranks_per_host);

// An all-reduce as measured with some ranks of this machine, and what bounds it.
struct SharedCores {
  LinkModel all_reduce;
  LinkModel cpu;                 // CPU time of all ranks together
  double wire_s_per_byte = 0.0;  // of one message, at the rate that the wire was given; 0: none was
  int ranks = 2;
  int cores = 1;
};

// What hosts that are namespaces of one machine take, whose rings share its cores. No ring is done before its
// bytes have passed the wire nor before its work is done, which grows with the messages and bytes of all
// ranks and is done in turns, since a round waits for the last rank: three ranks on two cores take as long as
// four. What was measured beyond both (waking, waiting) grows as a ring's messages do.
LinkModel on_shared_cores(const SharedCores& measured, int ranks);

// Ranks that read each other's memory: the all-reduce of `measured_ranks`, which others take as well while
// there is a core for each rank; then they take turns.
LinkModel shared_memory_all_reduce(const LinkModel& measured, int measured_ranks, int ranks, int cores);

}  // namespace lockstep

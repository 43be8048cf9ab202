// `lockstep bench all-reduce`, `reduce-scatter`, `all-gather`, `broadcast` and `send-receive` on one rank.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "bench/collective_contender.h"
#include "bench/report/collective_report.h"

namespace lockstep {

struct CollectiveResult {
  std::vector<CollectiveRow> rows;
  bool stopped = false;  // on request, before everything was measured
};

// Times every contender at every size: in each round each has one turn, in an order that rotates. A turn
// writes the buffers anew, meets at a barrier, times, and checks every element. Below 1 MiB a turn is several
// operations, each in a buffer of its own, one after the other; below 8 MiB the caches are warmed by another
// such turn. Collective; the rows, which rank 0 is to show, are the same on all ranks. `on_rows` gets those
// of a size as soon as they are there.
CollectiveResult measure_collective(const CollectiveConfig& config, const BenchWorld& world,
                                    const std::vector<std::unique_ptr<CollectiveContender>>& contenders,
                                    const std::function<void(const std::vector<CollectiveRow>&)>& on_rows);

// Seconds that a time of an operation holds which are none of its own: the same loop around nothing.
// Collective.
double measure_harness_s(const CollectiveConfig& config, const BenchWorld& world);

// The sizes from --min-bytes to --max-bytes in bytes, rounded down to whole elements, the same number for
// each rank where ranks have shares. Throws std::invalid_argument if the first holds none.
std::vector<std::int64_t> sizes_of(const CollectiveConfig& config, std::int64_t element_bytes,
                                   int world_size);

// The whole benchmark, rank 0's output and files included. Returns false if it was stopped on request. Throws
// WrongResult after everything was shown.
bool run_collective_bench(const CollectiveConfig& config, BenchWorld& world);

}  // namespace lockstep

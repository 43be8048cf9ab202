// Where the ranks of a benchmark meet: on this machine or the hosts of a file, or on a wire that is made for
// them; and what the interfaces carried meanwhile.
#pragma once

#include <string>
#include <vector>

#include "launch/rank_job.h"
#include "trainer/config/option.h"

namespace lockstep {

struct BenchWireOptions {
  std::string wire;  // a rate; empty: no wire is made
};

const std::vector<Option<BenchWireOptions>>& bench_wire_options();

// Throws std::invalid_argument for what does not go with a wire.
void check_bench_wire(const BenchWireOptions& options, const LaunchOptions& launch);

// Runs `job` there. Into `json_file`, if it is named and the job wrote it, comes "network": the wire, the
// hosts, and the bytes that all interfaces of this machine's ranks sent. Returns and throws as
// run_rank_job(), and DataError where a wire cannot be made.
int run_bench_job(RankJob job, const BenchWireOptions& options, const std::string& json_file);

}  // namespace lockstep

// `lockstep rank`: the process that mpirun starts for each rank. It starts the rank's program beside itself,
// labels its output and notes how it ended.
//
// It is there because mpirun cannot do three things: label lines without tearing them, notice a rank that
// leaves early with 0, and say which rank was killed. What it guarantees to the rank's program:
//   - SIGUSR1 (a pause) is blocked and stays pending until the program has installed its handler and unblocks
//   it,
//     so that a request during start-up is not lost and kills nobody. Other signals are at their defaults.
//   - The program is killed when this process dies, as is this process when mpirun does: nobody is left
//   behind.
//   - It finds a HeartbeatPage in its environment. A rank that stands still for longer than --timeout is
//   killed (rank_watch.h).
//   - On every rank but 0, standard output is a terminal in raw mode (so that lines come at once), not the
//   user's.
#pragma once

#include <string>
#include <vector>

namespace lockstep {

// `arguments`: which of the launcher's streams are terminals (none, stdout, stderr, both), then the program's
// file and its arguments. Returns what mpirun is to see: 0 if the rank left in agreement with its peers
// (codes 0, 10 and 12), so that nobody is terminated; otherwise its code, 128 + its signal, or 11 if it
// returned 0 without a report.
int run_rank_command(const std::vector<std::string>& arguments);
std::string rank_command_help(const std::vector<std::string>& arguments);

}  // namespace lockstep

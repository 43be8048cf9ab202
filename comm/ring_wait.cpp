#include "comm/ring_wait.h"

#include <algorithm>
#include <string>
#include <vector>

#include "comm/errors.h"

namespace lockstep {

void RingWait::wait_for(Transport::Request request, int peer) {
  while (!transport_.test(request)) rest(peer);
  moved();
}

void RingWait::rest(int peer) {
  if (limit_.aborted()) {
    throw CommError("rank " + std::to_string(transport_.named_rank(transport_.rank())) + ": " +
                        signature_.describe() + " was aborted",
                    CommError::kUnknownPeer, signature_.describe());
  }
  if (limit_.expired()) time_out(peer);
  transport_.rest(turns_++);
}

void RingWait::time_out(int peer) {
  const int here = transport_.named_rank(transport_.rank());
  int missing = transport_.named_rank(peer);
  std::vector<PeerPosition> positions = transport_.ask_positions();
  // Whoever does not answer or has not come this far is what all the others wait for, directly or not.
  const auto is_missing = [&](const PeerPosition& p) {
    return !p.answered || p.collectives <= signature_.sequence;
  };
  std::stable_partition(positions.begin(), positions.end(), is_missing);
  std::string text = "rank " + std::to_string(here) + ": " + signature_.describe() + " timed out after " +
                     std::to_string(static_cast<std::int64_t>(limit_.timeout_s())) + " s, waiting for rank ";
  if (positions.empty()) {
    text += std::to_string(missing) + (transport_.world_size() > 2 ? " (or a rank that it waits for)" : "");
  } else {
    if (is_missing(positions.front())) missing = positions.front().rank;
    const auto awaited = std::find_if(positions.begin(), positions.end(),
                                      [&](const PeerPosition& p) { return p.rank == missing; });
    text += std::to_string(missing) + ", which " + awaited->text;
    for (const PeerPosition& p : positions) {
      if (p.rank != missing) text += "; rank " + std::to_string(p.rank) + " " + p.text;
    }
  }
  throw CommError(text, missing, signature_.describe());
}

}  // namespace lockstep

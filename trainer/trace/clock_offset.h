// How far two machines' clocks are apart, from the times at which both passed the same barriers.
#pragma once

#include <cstdint>
#include <vector>

namespace lockstep {

// One rank's clock just before and just after a barrier.
struct BarrierPassage {
  std::int64_t enter_ns = 0;
  std::int64_t leave_ns = 0;
};

struct ClockOffset {
  std::int64_t offset_ns = 0;       // this clock minus the reference's, at the middle of what is possible
  std::int64_t uncertainty_ns = 0;  // the truth lies within this of it
};

// Nobody leaves a barrier before everybody has entered it, so each passage bounds the offset from both sides,
// and several narrow it down. Both ranks give the same passages in the same order, one at least
// (std::invalid_argument otherwise).
ClockOffset clock_offset(const std::vector<BarrierPassage>& mine,
                         const std::vector<BarrierPassage>& reference);

}  // namespace lockstep

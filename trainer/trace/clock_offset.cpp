#include "trainer/trace/clock_offset.h"

#include <algorithm>
#include <limits>
#include <stdexcept>

namespace lockstep {

ClockOffset clock_offset(const std::vector<BarrierPassage>& mine,
                         const std::vector<BarrierPassage>& reference) {
  if (mine.empty() || mine.size() != reference.size()) {
    throw std::invalid_argument("clock offset: both ranks need the same passages, one at least");
  }
  std::int64_t least = std::numeric_limits<std::int64_t>::min();
  std::int64_t most = std::numeric_limits<std::int64_t>::max();
  for (std::size_t i = 0; i < mine.size(); ++i) {
    least = std::max(least, mine[i].enter_ns - reference[i].leave_ns);
    most = std::min(most, mine[i].leave_ns - reference[i].enter_ns);
  }
  return {least + (most - least) / 2, (most - least) / 2};
}

}  // namespace lockstep

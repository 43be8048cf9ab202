#include "trainer/warm_heap.h"

#include <malloc.h>

#include <cstdlib>
#include <limits>
#include <string>

namespace lockstep {

bool keep_heap_warm() {
  const char* wanted = std::getenv("LOCKSTEP_WARM_HEAP");
  if (wanted != nullptr && std::string(wanted) == "off") return false;
#ifdef __GLIBC__
  constexpr int kTopPadBytes = 256 << 20;
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max());
  mallopt(M_TOP_PAD, kTopPadBytes);
  return true;
#else
  return false;
#endif
}

}  // namespace lockstep

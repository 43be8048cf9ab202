// MetricsEnd: how the last attempt that metrics.jsonl tells of ended, for who was not there.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace lockstep {

struct MetricsEnd {
  std::string reason;  // docs/contracts.md
  std::int64_t step = 0;
};

// Nothing if the last attempt did not end in good order, or there is none. Lines that cannot be read count as
// not there.
std::optional<MetricsEnd> last_metrics_end(const std::filesystem::path& file);

}  // namespace lockstep

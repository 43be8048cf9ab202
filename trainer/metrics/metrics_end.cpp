#include "trainer/metrics/metrics_end.h"

#include <fstream>
#include <nlohmann/json.hpp>

namespace lockstep {

std::optional<MetricsEnd> last_metrics_end(const std::filesystem::path& file) {
  constexpr std::size_t kLongestLine = 1 << 16;
  std::ifstream input(file, std::ios::binary);
  std::optional<MetricsEnd> last;
  std::string line;
  while (std::getline(input, line) && !input.eof()) {
    if (line.starts_with(R"({"kind":"start")")) last.reset();
    if (!line.starts_with(R"({"kind":"end")") || line.size() > kLongestLine) continue;
    const auto end = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!end.is_object() || !end.contains("reason") || !end["reason"].is_string() || !end.contains("step") ||
        !end["step"].is_number_unsigned()) {
      continue;
    }
    last = MetricsEnd{end["reason"].get<std::string>(), end["step"].get<std::int64_t>()};
  }
  return last;
}

}  // namespace lockstep

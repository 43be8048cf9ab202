// EventFile: scalars for TensorBoard, in its event files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace lockstep {

// For one writer; not thread-safe. Each record is handed to the system at once, so that a kill tears at most
// the last one, which TensorBoard passes over. Training goes on if the file cannot be written: `warn` is
// called once.
class EventFile {
 public:
  using Warn = std::function<void(const std::string& line)>;

  // A new file in `folder`, which is made. Points of earlier files at steps after `first_step`, which an
  // attempt that goes on from there repeats, disappear from TensorBoard's curves.
  EventFile(const std::filesystem::path& folder, std::int64_t first_step, Warn warn);

  // One point of each curve, now. Tags such as "loss/train" group curves by what stands before the slash.
  void write(std::int64_t step, const std::vector<std::pair<std::string, double>>& values);

 private:
  void write_record(std::string_view event);

  std::filesystem::path path_;
  std::ofstream file_;
  Warn warn_;
  bool warned_ = false;
};

// CRC-32C (Castagnoli; RFC 3720, B.4), which guards the records.
std::uint32_t crc32c(std::string_view bytes);

}  // namespace lockstep

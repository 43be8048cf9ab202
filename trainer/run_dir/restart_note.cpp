// Three lines: the time, the reason, and the step.
#include "trainer/run_dir/restart_note.h"

#include <fstream>
#include <limits>

#include "trainer/run_dir/atomic_file.h"

namespace lockstep {
namespace {

constexpr const char* kName = "restart";

}  // namespace

void write_restart_note(const std::filesystem::path& dir, const RestartNote& note) {
  write_file_atomically(dir / kName, std::to_string(note.failed_at_ns) + "\n" + note.reason + "\n" +
                                         std::to_string(note.step) + "\n");
}

std::optional<RestartNote> read_restart_note(const std::filesystem::path& dir) {
  if (dir.empty()) return std::nullopt;
  std::ifstream file(dir / kName);
  RestartNote note;
  if (!(file >> note.failed_at_ns)) return std::nullopt;
  file.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
  if (!std::getline(file, note.reason)) return std::nullopt;
  if (!(file >> note.step) || note.step < 0) note.step = 0;
  return note;
}

}  // namespace lockstep

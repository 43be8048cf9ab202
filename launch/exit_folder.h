// The launcher's private folder in the run folder, where ranks leave their exit reports.
#pragma once

#include <filesystem>
#include <vector>

namespace lockstep {

// RUN_DIR/.launch/<pid>-<random>/, with launcher_file.h's file; removed with what it holds when this goes out
// of scope, and with it the folders above that had to be made and stayed empty. Folders that killed launchers
// left behind are removed on the way.
class ExitFolder {
 public:
  // Throws DataError (--run-dir ...) if the folder cannot be made.
  explicit ExitFolder(const std::filesystem::path& run_dir);
  ~ExitFolder();
  ExitFolder(const ExitFolder&) = delete;
  ExitFolder& operator=(const ExitFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }  // absolute
  // A folder in it for an attempt, made if it is not there: what is left of one attempt is not another's.
  // Throws DataError.
  std::filesystem::path attempt(int number) const;

 private:
  std::filesystem::path path_;
  std::vector<std::filesystem::path> made_;  // innermost first
  int lock_ = -1;                            // says, to other launchers, that this one lives
};

}  // namespace lockstep

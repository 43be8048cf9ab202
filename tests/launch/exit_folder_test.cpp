#include "launch/exit_folder.h"

#include <gtest/gtest.h>

#include <chrono>

#include "sampler/data_error.h"
#include "tests/temporary_folder.h"

namespace lockstep {
namespace {

namespace fs = std::filesystem;

TEST(ExitFolder, IsPrivateAndLeavesNothing) {
  const TemporaryFolder folder;
  const fs::path run = folder.path() / "runs" / "a";
  {
    const ExitFolder first(run);
    const ExitFolder second(run);
    EXPECT_NE(first.path(), second.path());
    EXPECT_TRUE(first.path().is_absolute());
    EXPECT_EQ(first.path().parent_path(), run / ".launch");
    write_text(first.path() / "rank-0.json", "{}");
  }
  EXPECT_TRUE(fs::is_empty(folder.path()));
}

TEST(ExitFolder, KeepsARunFolderThatHoldsSomethingOrWasThere) {
  const TemporaryFolder folder;
  {
    const ExitFolder exit_folder(folder.path() / "run");
    write_text(folder.path() / "run" / "metrics.jsonl", "x");
  }
  EXPECT_TRUE(fs::exists(folder.path() / "run" / "metrics.jsonl"));
  fs::create_directory(folder.path() / "empty");
  { const ExitFolder exit_folder(folder.path() / "empty"); }
  EXPECT_TRUE(fs::exists(folder.path() / "empty"));
}

TEST(ExitFolder, RemovesAbandonedOnesOnly) {
  const TemporaryFolder folder;
  const fs::path launch = folder.path() / ".launch";
  const auto hour_ago = fs::file_time_type::clock::now() - std::chrono::hours(1);
  write_text(launch / "1-old" / "rank-0.json", "{}");
  write_text(launch / "2-young" / "rank-0.json", "{}");
  fs::last_write_time(launch / "1-old", hour_ago);
  const ExitFolder living(folder.path());
  fs::last_write_time(living.path(), hour_ago);
  const ExitFolder later(folder.path());
  EXPECT_FALSE(fs::exists(launch / "1-old"));
  EXPECT_TRUE(fs::exists(launch / "2-young"));
  EXPECT_TRUE(fs::exists(living.path()));
}

TEST(ExitFolder, SaysWhichFolderCannotBeWritten) {
  const TemporaryFolder folder;
  write_text(folder.path() / "file", "kept");
  EXPECT_THROW(ExitFolder(folder.path() / "file" / "run"), DataError);
  EXPECT_THROW(ExitFolder(folder.path() / "file"), DataError);
  EXPECT_EQ(read_text(folder.path() / "file"), "kept");
}

}  // namespace
}  // namespace lockstep

#include "trainer/run_dir/atomic_file.h"

#include <gtest/gtest.h>

#include "tests/temporary_folder.h"

namespace lockstep {
namespace {

namespace fs = std::filesystem;

TEST(AtomicFile, ReplacesTheWholeFileAndLeavesNothingAside) {
  const TemporaryFolder folder;
  write_file_atomically(folder.path() / "a", "a first, longer text");
  write_file_atomically(folder.path() / "a", "second");
  EXPECT_EQ(read_text(folder.path() / "a"), "second");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), {}), 1);
}

TEST(AtomicFile, FailsWithoutTouchingAnything) {
  const TemporaryFolder folder;
  write_text(folder.path() / "in_the_way" / "inside", "kept");
  EXPECT_THROW(write_file_atomically(folder.path() / "in_the_way", "x"), fs::filesystem_error);
  EXPECT_EQ(read_text(folder.path() / "in_the_way" / "inside"), "kept");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), {}), 1);
  EXPECT_THROW(write_file_atomically(folder.path() / "missing" / "a", "x"), fs::filesystem_error);
}

}  // namespace
}  // namespace lockstep

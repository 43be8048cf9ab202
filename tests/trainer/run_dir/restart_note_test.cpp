#include "trainer/run_dir/restart_note.h"

#include <gtest/gtest.h>

#include "tests/temporary_folder.h"

namespace lockstep {
namespace {

TEST(RestartNote, ComesBack) {
  const TemporaryFolder folder;
  EXPECT_FALSE(read_restart_note(folder.path()));
  write_restart_note(folder.path(), {"rank 1 was ended by signal 9; rank 0: gone", 123456789012345, 77});
  const auto note = read_restart_note(folder.path());
  ASSERT_TRUE(note);
  EXPECT_EQ(note->reason, "rank 1 was ended by signal 9; rank 0: gone");
  EXPECT_EQ(note->failed_at_ns, 123456789012345);
  EXPECT_EQ(note->step, 77);
}

TEST(RestartNote, ADamagedOneIsNone) {
  const TemporaryFolder folder;
  for (const char* text : {"", "x\nreason\n", "12", "99999999999999999999999\nreason\n"}) {
    write_text(folder.path() / "restart", text);
    EXPECT_FALSE(read_restart_note(folder.path())) << text;
  }
  EXPECT_FALSE(read_restart_note(""));
  EXPECT_FALSE(read_restart_note("/no/such/folder"));
}

}  // namespace
}  // namespace lockstep

#include "launch/program_path.h"

#include <gtest/gtest.h>

#include "tests/temporary_folder.h"

namespace lockstep {
namespace {

namespace fs = std::filesystem;

TEST(ProgramPath, FindsTheFirstExecutableFile) {
  const TemporaryFolder folder;
  for (const char* name : {"a", "b", "c"}) {
    write_text(folder.path() / name / "tool", "#!/bin/sh\n");
  }
  fs::permissions(folder.path() / "b" / "tool", fs::perms(0755));
  fs::permissions(folder.path() / "c" / "tool", fs::perms(0755));
  fs::create_directories(folder.path() / "d" / "tool");
  const std::string root = folder.path().string();
  EXPECT_EQ(find_on_path("tool", root + "/d:" + root + "/a:" + root + "/b:" + root + "/c"), root + "/b/tool");
  EXPECT_EQ(find_on_path("tool", root + "/a:" + root + "/missing"), std::nullopt);
  EXPECT_EQ(find_on_path("tool", ""), std::nullopt);
}

TEST(ProgramPath, RelativeFoldersArePassedOver) {
  const TemporaryFolder folder;
  write_text(folder.path() / "tool", "#!/bin/sh\n");
  fs::permissions(folder.path() / "tool", fs::perms(0755));
  const fs::path before = fs::current_path();
  fs::current_path(folder.path());
  EXPECT_EQ(find_on_path("tool", ":.::"), std::nullopt);
  fs::current_path(before);
}

TEST(ProgramPath, OwnProgramIsThisTest) {
  EXPECT_EQ(own_program().filename(), "launch_test");
}

}  // namespace
}  // namespace lockstep

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <string>

#include "sampler/data_error.h"
#include "tests/temporary_folder.h"
#include "trainer/run_dir/run_dir.h"

namespace lockstep {
namespace {

TEST(RunDirLock, OneHolderAtATime) {
  const TemporaryFolder folder;
  const RunDir run(folder.path());
  {
    const RunDirLock held(run);
    EXPECT_THROW(RunDirLock second(run), DataError);
  }
  EXPECT_NO_THROW(RunDirLock again(run));
}

TEST(RunDirLock, NamesTheHolderAndEndsWithItsDeath) {
  const TemporaryFolder folder;
  const RunDir run(folder.path());
  std::array<int, 2> ready{};
  ASSERT_EQ(pipe(ready.data()), 0);
  const pid_t holder = fork();
  if (holder == 0) {
    const RunDirLock lock(run);
    if (write(ready[1], "x", 1) == 1) {
      pause();
    }
    _exit(1);
  }
  char byte = 0;
  EXPECT_EQ(read(ready[0], &byte, 1), 1);
  try {
    const RunDirLock second(run);
    ADD_FAILURE() << "two holders";
  } catch (const DataError& error) {
    std::array<char, 256> host{};
    gethostname(host.data(), host.size() - 1);
    EXPECT_THAT(error.what(), testing::HasSubstr("process " + std::to_string(holder) + " on " + host.data()));
    EXPECT_THAT(error.what(), testing::HasSubstr(folder.path().string()));
  }
  kill(holder, SIGKILL);
  waitpid(holder, nullptr, 0);
  EXPECT_NO_THROW(RunDirLock after(run));
  close(ready[0]);
  close(ready[1]);
}

TEST(RunDirLock, AFolderThatIsNotThere) {
  EXPECT_THROW(RunDirLock lock(RunDir("/proc/no/such/folder")), DataError);
}

}  // namespace
}  // namespace lockstep

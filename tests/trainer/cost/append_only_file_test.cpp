#include "trainer/cost/append_only_file.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "sampler/data_error.h"
#include "tests/temporary_folder.h"

namespace lockstep {
namespace {

class AppendOnlyFileTest : public ::testing::Test {
 protected:
  TemporaryFolder folder_;
  const std::filesystem::path file_ = folder_.path() / "lines";
};

TEST_F(AppendOnlyFileTest, AppendsToWhatIsThere) {
  AppendOnlyFile(file_).append("one");
  AppendOnlyFile file(file_);
  EXPECT_EQ(file.repaired_bytes(), 0u);
  file.append("two");
  file.append("");
  file.sync();
  EXPECT_EQ(read_text(file_), "one\ntwo\n\n");
}

TEST_F(AppendOnlyFileTest, CutsATornLastLineOff) {
  // Torn lines shorter and longer than what is read at a time, after none, one and many whole lines.
  for (const std::size_t torn : {1u, 4095u, 4096u, 4097u, 100000u}) {
    for (const std::string& whole :
         {std::string(), std::string("one\n"), std::string(5000, 'x') + "\ntwo\n"}) {
      write_text(file_, whole + std::string(torn, '{'));
      AppendOnlyFile file(file_);
      EXPECT_EQ(file.repaired_bytes(), torn);
      EXPECT_EQ(read_text(file_), whole);
      file.append("next");
      EXPECT_EQ(read_text(file_), whole + "next\n");
    }
  }
}

TEST_F(AppendOnlyFileTest, LeavesNothingOfALineThatDoesNotFit) {
  // A limit on the file's size stands in for a full disk.
  AppendOnlyFile file(file_);
  file.append("0123456789");
  signal(SIGXFSZ, SIG_IGN);
  rlimit before = {};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit limited = {.rlim_cur = 16, .rlim_max = before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limited), 0);
  EXPECT_THROW(file.append("a line too long"), DataError);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_EQ(read_text(file_), "0123456789\n");
  file.append("room again");
  EXPECT_EQ(read_text(file_), "0123456789\nroom again\n");
}

TEST_F(AppendOnlyFileTest, SaysWhatCannotBeWritten) {
  const auto expect_refused = [](const std::filesystem::path& file) {
    try {
      AppendOnlyFile opened(file);
      ADD_FAILURE() << file << " was opened";
    } catch (const DataError& error) {
      const std::string message = error.what();
      EXPECT_EQ(message.rfind(file.string() + ": ", 0), 0u) << message;
      EXPECT_EQ(message.find('\n'), std::string::npos);
    }
  };
  expect_refused(folder_.path());
  expect_refused(folder_.path() / "no" / "such" / "folder");
  expect_refused("/dev/null");
  const auto pipe = folder_.path() / "pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  expect_refused(pipe);
}

}  // namespace
}  // namespace lockstep

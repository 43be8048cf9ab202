#include "comm/file_descriptor.h"

#include <fcntl.h>
#include <gtest/gtest.h>

namespace lockstep {
namespace {

bool is_open(int descriptor) {
  return fcntl(descriptor, F_GETFD) >= 0;
}

TEST(FileDescriptor, ResetClosesAtOnce) {
  FileDescriptor file(open("/dev/null", O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(file);
  const int number = file.get();
  file.reset();
  EXPECT_FALSE(file);
  EXPECT_FALSE(is_open(number));
}

TEST(FileDescriptor, TheLastOwnerCloses) {
  FileDescriptor file(open("/dev/null", O_RDONLY | O_CLOEXEC));
  const int number = file.get();
  {
    const FileDescriptor owner = std::move(file);
    EXPECT_FALSE(file);
    EXPECT_TRUE(is_open(number));
  }
  EXPECT_FALSE(is_open(number));
}

}  // namespace
}  // namespace lockstep

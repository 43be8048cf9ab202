#include "launch/hostfile.h"

#include <gtest/gtest.h>

#include "sampler/data_error.h"
#include "tests/temporary_folder.h"

namespace lockstep {
namespace {

int count(const std::string& text) {
  const TemporaryFolder folder;
  write_text(folder.path() / "hosts", text);
  return count_hosts(folder.path() / "hosts");
}

TEST(Hostfile, CountsDifferentHosts) {
  EXPECT_EQ(count("node1 slots=8\nnode2 slots=8 max-slots=8\n"), 2);
  EXPECT_EQ(count("# ours\n\n  node1\n10.0.0.2 # second\nnode1 slots=4"), 2);
}

TEST(Hostfile, NamesThem) {
  const TemporaryFolder folder;
  write_text(folder.path() / "hosts", "b slots=2\na\nb\n");
  EXPECT_EQ(host_names(folder.path() / "hosts"), (std::vector<std::string>{"b", "a"}));
}

TEST(Hostfile, RefusesNothing) {
  EXPECT_THROW(count(""), DataError);
  EXPECT_THROW(count("# nobody\n\n"), DataError);
  EXPECT_THROW(count_hosts("/no/such/file"), DataError);
  EXPECT_THROW(count_hosts("/tmp"), DataError);
}

TEST(Hostfile, GivesTheLinesOfSomeHosts) {
  const TemporaryFolder folder;
  write_text(folder.path() / "hosts", "# all\na slots=2\nb # spare\n\na slots=1\nc\n");
  EXPECT_EQ(lines_of_hosts(folder.path() / "hosts", {0, 2}), "a slots=2\na slots=1\nc\n");
  EXPECT_EQ(lines_of_hosts(folder.path() / "hosts", {1}), "b # spare\n");
}

}  // namespace
}  // namespace lockstep

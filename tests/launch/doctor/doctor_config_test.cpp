#include "launch/doctor/doctor_config.h"

#include <gtest/gtest.h>

#include <stdexcept>

#include "sampler/data_error.h"
#include "tests/temporary_folder.h"

namespace lockstep {
namespace {

TEST(DoctorConfig, HostsComeFromEither) {
  EXPECT_TRUE(parse_doctor_command({}).hosts.empty());
  EXPECT_EQ(parse_doctor_command({"--host", "b,a,b"}).hosts, (std::vector<std::string>{"b", "a"}));
  TemporaryFolder folder;
  const std::string file = (folder.path() / "hosts").string();
  write_text(file, "node1 slots=8\nnode2 # spare\n");
  EXPECT_EQ(parse_doctor_command({"--hostfile", file, "--json"}).hosts,
            (std::vector<std::string>{"node1", "node2"}));
  EXPECT_TRUE(parse_doctor_command({"--hostfile", file, "--json"}).json);
}

TEST(DoctorConfig, RefusesWhatMakesNoSense) {
  for (const std::vector<std::string>& arguments : {std::vector<std::string>{"--host", ""},
                                                    {"--host", "a b"},
                                                    {"--host", "-oProxyCommand=x"},
                                                    {"--host", "a,,b"},
                                                    {"--host", "a", "--hostfile", "f"},
                                                    {"--timeout", "0"},
                                                    {"--run-dir", ""},
                                                    {"--jsn"},
                                                    {"here"}})
    EXPECT_THROW(parse_doctor_command(arguments), std::invalid_argument) << arguments.back();
  EXPECT_THROW(parse_doctor_command({"--hostfile", "/no/such/file"}), DataError);
  TemporaryFolder folder;
  const std::string file = (folder.path() / "hosts").string();
  write_text(file, "node1\n--evil\n");
  EXPECT_THROW(parse_doctor_command({"--hostfile", file}), DataError);
}

}  // namespace
}  // namespace lockstep

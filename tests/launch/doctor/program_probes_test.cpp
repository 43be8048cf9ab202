#include "launch/doctor/program_probes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/launch/doctor/fake_machine.h"

namespace lockstep {
namespace {

using ::testing::HasSubstr;

TEST(OpenMpiProbe, WantsTheVersionThatTheLauncherIsMadeFor) {
  EXPECT_EQ(shown(judge_open_mpi("/usr/bin/mpirun", "mpirun (Open MPI) 4.1.6\n\nReport bugs")),
            "ok: 4.1.6 (/usr/bin/mpirun)");
  EXPECT_EQ(judge_open_mpi("m", "mpirun (Open MPI) 5.0.3").verdict, Verdict::kWarning);
  EXPECT_EQ(shown(judge_open_mpi("m", "HYDRA build details:")), "failure: m is \"HYDRA build details:\"");
  EXPECT_EQ(shown(judge_open_mpi("m", "")), "failure: m cannot be run");
}

TEST(OpenMpiProbe, RunsTheFirstOnThePath) {
  TemporaryFolder folder;
  EXPECT_THAT(shown(probe_open_mpi(folder.path().string())), HasSubstr("failure: mpirun is not on the PATH"));
  const auto program = folder.path() / "mpirun";
  write_text(program, "#!/bin/sh\n[ \"$1\" = --version ] && echo 'mpirun (Open MPI) 4.1.4'\n");
  chmod(program.c_str(), 0755);
  EXPECT_EQ(shown(probe_open_mpi(folder.path().string())), "ok: 4.1.4 (" + program.string() + ")");
}

TEST(DiskProbe, WritesWhereTheRunFolderWouldBeAndLeavesNothing) {
  TemporaryFolder folder;
  const DiskTrial trial = try_disk(folder.path() / "runs" / "one");
  EXPECT_EQ(trial.problem, "");
  EXPECT_EQ(trial.folder, folder.path());
  EXPECT_GT(trial.bytes_per_s, 0);
  EXPECT_GT(trial.free_bytes, 0);
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  EXPECT_NE(try_disk("/proc/self").problem, "");
}

TEST(DiskProbe, SlowFullAndForbiddenOnesAreSaid) {
  EXPECT_EQ(shown(judge_disk({"/runs", 512.6e6, 300e9, ""})), "ok: /runs: 512 MB/s written, 300.0 GB free");
  EXPECT_THAT(judge_disk({"/runs", 30e6, 300e9, ""}).remedy, HasSubstr("--checkpoint-interval"));
  EXPECT_THAT(judge_disk({"/runs", 500e6, 1e9, ""}).remedy, HasSubstr("make room"));
  EXPECT_EQ(shown(judge_disk({"/runs", 0, 0, "Read-only file system"})),
            "failure: /runs cannot be written (Read-only file system)");
}

}  // namespace
}  // namespace lockstep

#include "launch/mpirun.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lockstep {
namespace {

using testing::ElementsAre;

JobPlan two_ranks() {
  JobPlan plan;
  plan.nproc_per_node = 2;
  plan.rank_command = {"/opt/bin/lockstep-train", "--lr=0.5"};
  plan.lockstep = "/opt/bin/lockstep";
  plan.mpirun = "/usr/bin/mpirun";
  plan.cores = 8;
  plan.exit_dir = "/run/x";
  plan.launch_time_ns = 123;
  return plan;
}

TEST(Mpirun, CommandOfTwoLocalRanks) {
  const JobCommand command = build_job_command(two_ranks(), {{"PATH", "/bin"}});
  EXPECT_THAT(command.arguments,
              ElementsAre("/usr/bin/mpirun", "--quiet", "--bind-to", "none", "--oversubscribe", "--map-by",
                          "ppr:2:node", "-n", "2", "-x", "LOCKSTEP_EXIT_DIR", "-x", "LOCKSTEP_LAUNCHER", "-x",
                          "LOCKSTEP_LAUNCH_TIME_NS", "-x", "MALLOC_MMAP_MAX_", "-x", "MALLOC_TOP_PAD_", "-x",
                          "MALLOC_TRIM_THRESHOLD_", "-x", "OMP_NUM_THREADS", "/opt/bin/lockstep", "rank",
                          "none", "/opt/bin/lockstep-train", "--lr=0.5"));
  EXPECT_EQ(command.environment.at("OMP_NUM_THREADS"), "4");  // 8 cores / 2 ranks
  EXPECT_EQ(command.environment.at("LOCKSTEP_EXIT_DIR"), "/run/x");
  EXPECT_EQ(command.environment.at("LOCKSTEP_LAUNCH_TIME_NS"), "123");
  EXPECT_EQ(command.environment.at("OMPI_MCA_btl_vader_single_copy_mechanism"), "none");
  EXPECT_EQ(command.environment.at("PATH"), "/bin");
  EXPECT_FALSE(command.environment.contains("OMPI_ALLOW_RUN_AS_ROOT"));
  EXPECT_FALSE(command.environment.contains("LOCKSTEP_TTY_COLUMNS"));
}

TEST(Mpirun, HostsAndRoot) {
  JobPlan plan = two_ranks();
  plan.nnodes = 3;
  plan.hostfile = "hosts";
  plan.is_root = true;
  const JobCommand command = build_job_command(plan, {{"NCCL_DEBUG", "INFO"},
                                                      {"TORCH_NCCL_X", "1"},
                                                      {"PYTORCH_ALLOC_CONF", "backend:native"},
                                                      {"HOME", "/root"}});
  EXPECT_THAT(command.arguments, testing::IsSupersetOf({"-n", "6", "ppr:2:node", "--hostfile", "hosts",
                                                        "NCCL_DEBUG", "TORCH_NCCL_X", "PYTORCH_ALLOC_CONF"}));
  EXPECT_THAT(command.arguments, testing::Not(testing::Contains("HOME")));
  EXPECT_EQ(command.environment.at("OMPI_ALLOW_RUN_AS_ROOT"), "1");
  EXPECT_EQ(command.environment.at("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"), "1");
}

TEST(Mpirun, AProgramOnOneHostIsStartedAsRanksAre) {
  const Environment current = {{"NCCL_DEBUG", "INFO"}, {"HOME", "/root"}};
  const JobCommand command =
      build_host_command("/usr/bin/mpirun", "node1", {"/opt/bin/lockstep", "doctor-agent"},
                         /*is_root=*/true, /*connect_timeout_s=*/5, current);
  EXPECT_THAT(command.arguments,
              ElementsAre("/usr/bin/mpirun", "--quiet", "--bind-to", "none", "--oversubscribe", "--host",
                          "node1", "-n", "1", "-x", "NCCL_DEBUG", "/opt/bin/lockstep", "doctor-agent"));
  EXPECT_EQ(command.environment.at("OMPI_MCA_plm_rsh_args"), "-o BatchMode=yes -o ConnectTimeout=5");
  EXPECT_EQ(command.environment.at("OMPI_ALLOW_RUN_AS_ROOT"), "1");
  const auto with_agent =
      build_host_command("m", "node1", {"p"}, false, 5, {{"OMPI_MCA_plm_rsh_agent", "agent"}});
  EXPECT_FALSE(with_agent.environment.contains("OMPI_MCA_plm_rsh_args"));
  EXPECT_FALSE(with_agent.environment.contains("OMPI_ALLOW_RUN_AS_ROOT"));
}

TEST(Mpirun, OneRankStartsDirectlyAndForgetsOtherLaunchers) {
  JobPlan plan = two_ranks();
  plan.nproc_per_node = 1;
  plan.mpirun.clear();
  const JobCommand command = build_job_command(plan, {{"RANK", "3"},
                                                      {"WORLD_SIZE", "4"},
                                                      {"OMPI_COMM_WORLD_RANK", "1"},
                                                      {"SLURM_STEP_ID", "0"},
                                                      {"PMI_RANK", "0"}});
  EXPECT_THAT(command.arguments,
              ElementsAre("/opt/bin/lockstep", "rank", "none", "/opt/bin/lockstep-train", "--lr=0.5"));
  for (const char* name : {"RANK", "WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "SLURM_STEP_ID", "PMI_RANK"}) {
    EXPECT_FALSE(command.environment.contains(name)) << name;
  }
}

TEST(Mpirun, Threads) {
  JobPlan plan = two_ranks();
  const auto threads = [&](const Environment& current) {
    return build_job_command(plan, current).environment.at("OMP_NUM_THREADS");
  };
  EXPECT_EQ(threads({{"OMP_NUM_THREADS", "3"}}), "3");  // the user's
  plan.nproc_per_node = 16;
  EXPECT_EQ(threads({}), "1");  // at least one
  plan.num_threads = 5;
  EXPECT_EQ(threads({{"OMP_NUM_THREADS", "3"}}), "5");  // a flag is the latest word
}

TEST(Mpirun, WhatTheUserHasSetIsKept) {
  JobPlan plan = two_ranks();
  const Environment mine = {{"MALLOC_TOP_PAD_", "0"}, {"OMPI_MCA_btl_vader_single_copy_mechanism", "cma"}};
  const Environment environment = build_job_command(plan, mine).environment;
  EXPECT_EQ(environment.at("MALLOC_TOP_PAD_"), "0");
  EXPECT_EQ(environment.at("MALLOC_MMAP_MAX_"), "0");
  EXPECT_EQ(environment.at("OMPI_MCA_btl_vader_single_copy_mechanism"), "cma");
  plan.warm_heap = false;
  EXPECT_FALSE(build_job_command(plan, {}).environment.contains("MALLOC_MMAP_MAX_"));
}

TEST(Mpirun, WhatOnlyTheLauncherKnowsReplacesStaleValues) {
  JobPlan plan = two_ranks();
  const Environment stale = {{"LOCKSTEP_TTY_COLUMNS", "80"}, {"LOCKSTEP_EXIT_DIR", "/old"}, {"RANK", "0"}};
  EXPECT_FALSE(build_job_command(plan, stale).environment.contains("LOCKSTEP_TTY_COLUMNS"));
  EXPECT_EQ(build_job_command(plan, stale).environment.at("LOCKSTEP_EXIT_DIR"), "/run/x");
  EXPECT_FALSE(build_job_command(plan, stale).environment.contains("RANK"));
  plan.stdout_columns = 132;
  EXPECT_EQ(build_job_command(plan, stale).environment.at("LOCKSTEP_TTY_COLUMNS"), "132");
  EXPECT_THAT(build_job_command(plan, stale).arguments, testing::Contains("stdout"));
  plan.stderr_is_terminal = true;
  EXPECT_THAT(build_job_command(plan, stale).arguments, testing::Contains("both"));
}

TEST(Mpirun, ShellLineShowsTheDifferenceAndIsQuoted) {
  const Environment current = {{"PATH", "/bin"}, {"RANK", "1"}, {"A", "old"}};
  const JobCommand command{{"/bin/x", "--data=it's here", "", "$HOME"},
                           {{"PATH", "/bin"}, {"A", "new"}, {"B", "x y"}}};
  EXPECT_EQ(to_shell(command, current),
            R"(env -u RANK A=new 'B=x y' /bin/x '--data=it'\''s here' '' '$HOME')");
}

}  // namespace
}  // namespace lockstep

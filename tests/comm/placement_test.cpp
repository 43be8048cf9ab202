#include "comm/placement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <stdexcept>

namespace lockstep {
namespace {

using Variables = std::map<std::string, std::string>;

Placement read(const Variables& variables) {
  return read_placement([&](const char* name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional<std::string>(found->second);
  });
}

void expect_place(const Placement& place, int rank, int world_size, int local_rank, int local_world_size,
                  LaunchedBy launched_by) {
  EXPECT_EQ(place.rank, rank);
  EXPECT_EQ(place.world_size, world_size);
  EXPECT_EQ(place.local_rank, local_rank);
  EXPECT_EQ(place.local_world_size, local_world_size);
  EXPECT_EQ(place.launched_by, launched_by);
}

void expect_refused(const Variables& variables, const std::string& part_of_message) {
  try {
    read(variables);
    FAIL() << "accepted; expected a complaint about " << part_of_message;
  } catch (const std::invalid_argument& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr(part_of_message));
    EXPECT_THAT(error.what(), testing::Not(testing::HasSubstr("\n")));
  }
}

const Variables kOpenMpi = {{"OMPI_COMM_WORLD_RANK", "5"},
                            {"OMPI_COMM_WORLD_SIZE", "8"},
                            {"OMPI_COMM_WORLD_LOCAL_RANK", "1"},
                            {"OMPI_COMM_WORLD_LOCAL_SIZE", "4"}};
const Variables kTorchrun = {
    {"RANK", "3"}, {"WORLD_SIZE", "4"}, {"LOCAL_RANK", "1"}, {"LOCAL_WORLD_SIZE", "2"}};
const Variables kSlurm = {{"SLURM_STEP_ID", "0"}, {"SLURM_PROCID", "9"},
                          {"SLURM_NTASKS", "11"}, {"SLURM_LOCALID", "1"},
                          {"SLURM_NODEID", "2"},  {"SLURM_STEP_TASKS_PER_NODE", "4(x2),3"}};

Variables with(Variables variables, const std::string& name, const std::string& value) {
  variables[name] = value;
  return variables;
}

Variables without(Variables variables, const std::string& name) {
  variables.erase(name);
  return variables;
}

Variables both(Variables a, const Variables& b) {
  a.insert(b.begin(), b.end());
  return a;
}

TEST(Placement, AloneWithoutALauncher) {
  expect_place(read({}), 0, 1, 0, 1, LaunchedBy::kNothing);
}

TEST(Placement, Torchrun) {
  expect_place(read(kTorchrun), 3, 4, 1, 2, LaunchedBy::kTorchrun);
  EXPECT_FALSE(read(kTorchrun).mpi_launched());
}

TEST(Placement, OneRankPerMachineWithoutLocalVariables) {
  expect_place(read({{"RANK", "3"}, {"WORLD_SIZE", "4"}}), 3, 4, 0, 1, LaunchedBy::kTorchrun);
}

TEST(Placement, OpenMpi) {
  expect_place(read(kOpenMpi), 5, 8, 1, 4, LaunchedBy::kOpenMpi);
  EXPECT_TRUE(read(kOpenMpi).mpi_launched());
}

TEST(Placement, Hydra) {
  const Variables hydra = {
      {"PMI_RANK", "2"}, {"PMI_SIZE", "4"}, {"MPI_LOCALRANKID", "0"}, {"MPI_LOCALNRANKS", "2"}};
  expect_place(read(hydra), 2, 4, 0, 2, LaunchedBy::kPmi);
  EXPECT_TRUE(read(hydra).mpi_launched());
}

TEST(Placement, SlurmWithPmixIsAnMpiLauncher) {
  expect_place(read(with(kSlurm, "PMIX_RANK", "9")), 9, 11, 1, 3, LaunchedBy::kPmi);
}

TEST(Placement, SlurmRunLengthListOfTasksPerNode) {
  expect_place(read(kSlurm), 9, 11, 1, 3, LaunchedBy::kSlurm);
  expect_place(read(with(with(kSlurm, "SLURM_NODEID", "1"), "SLURM_PROCID", "5")), 5, 11, 1, 4,
               LaunchedBy::kSlurm);
  EXPECT_FALSE(read(kSlurm).mpi_launched());
}

TEST(Placement, AProgramInASlurmBatchScriptIsNoRank) {
  expect_place(read(without(kSlurm, "SLURM_STEP_ID")), 0, 1, 0, 1, LaunchedBy::kNothing);
  // Slurm's reserved ids for the batch script's and the interactive shell's own step.
  expect_place(read(with(kSlurm, "SLURM_STEP_ID", "4294967291")), 0, 1, 0, 1, LaunchedBy::kNothing);
  expect_place(read(with(kSlurm, "SLURM_STEP_ID", "4294967290")), 0, 1, 0, 1, LaunchedBy::kNothing);
}

TEST(Placement, OrderOfPrecedence) {
  EXPECT_EQ(read(both(both(kTorchrun, kOpenMpi), kSlurm)).launched_by, LaunchedBy::kTorchrun);
  EXPECT_EQ(read(both(with(kOpenMpi, "PMIX_RANK", "7"), kSlurm)).launched_by, LaunchedBy::kOpenMpi);
}

TEST(Placement, RefusesWhatIsNoNumber) {
  for (const char* text : {"", "x", "1x", " 1", "1.0", "-1", "+1", "99999999999999999999", "1048577"}) {
    expect_refused(with(kOpenMpi, "OMPI_COMM_WORLD_SIZE", text), "OMPI_COMM_WORLD_SIZE");
    expect_refused(with(kTorchrun, "RANK", text), "RANK");
  }
}

TEST(Placement, RefusesContradictions) {
  expect_refused(with(kTorchrun, "RANK", "4"), "RANK=4 must be below WORLD_SIZE=4");
  expect_refused(with(kTorchrun, "WORLD_SIZE", "0"), "WORLD_SIZE");
  expect_refused(with(kTorchrun, "LOCAL_RANK", "2"), "LOCAL_RANK=2");
  expect_refused(without(kTorchrun, "WORLD_SIZE"), "WORLD_SIZE is missing");
  expect_refused(without(kTorchrun, "LOCAL_WORLD_SIZE"), "LOCAL_WORLD_SIZE is missing");
  expect_refused(without(kOpenMpi, "OMPI_COMM_WORLD_LOCAL_RANK"), "OMPI_COMM_WORLD_LOCAL_RANK is missing");
  expect_refused(with(with(kOpenMpi, "OMPI_COMM_WORLD_LOCAL_SIZE", "9"), "OMPI_COMM_WORLD_LOCAL_RANK", "0"),
                 "local rank");
  expect_refused({{"PMIX_RANK", "0"}}, "SLURM_NTASKS is missing");
  expect_refused({{"PMI_RANK", "0"}, {"PMI_SIZE", "2"}}, "MPI_LOCALRANKID");
}

TEST(Placement, RefusesADamagedSlurmList) {
  for (const char* list : {"", "4(x2", "4(x0)", "(x2)", "4,,3", "4(x99999999999999999999),3", "4(x2),"}) {
    expect_refused(with(kSlurm, "SLURM_STEP_TASKS_PER_NODE", list), "SLURM_STEP_TASKS_PER_NODE");
  }
  expect_refused(with(kSlurm, "SLURM_STEP_TASKS_PER_NODE", "4(x2)"), "no entry for node 2");
}

TEST(Placement, ReadsTheProcessEnvironment) {
  ASSERT_EQ(setenv("RANK", "1", 1), 0);
  ASSERT_EQ(setenv("WORLD_SIZE", "2", 1), 0);
  unsetenv("LOCAL_RANK");
  unsetenv("LOCAL_WORLD_SIZE");
  EXPECT_EQ(read_placement().rank, 1);
  unsetenv("RANK");
  unsetenv("WORLD_SIZE");
}

}  // namespace
}  // namespace lockstep

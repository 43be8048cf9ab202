#include "bench/report/run_facts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

namespace lockstep {
namespace {

using testing::HasSubstr;

RunFacts facts() {
  RunFacts facts;
  facts.machine = {"A CPU", 4, {{"L1 Data", "32K"}, {"L3", "33M"}}, 23.5, "Linux 6.1", ""};
  facts.versions = {{"LibTorch", "2.11.0"}, {"MPI", "Open MPI v4.1.4"}};
  facts.command = "lockstep bench step";
  facts.world_size = 2;
  facts.backend = "mpi";
  facts.backend_reason = "it was asked for";
  facts.reduction_order = "tree";
  facts.warm_heap = true;
  facts.barrier_s = 12.34e-6;
  return facts;
}

TEST(RunFacts, AreAllSaid) {
  EXPECT_EQ(describe(facts()),
            "# A CPU, 4 cores, L1 Data 32K, L3 33M; Linux 6.1\n"
            "# LibTorch 2.11.0, MPI Open MPI v4.1.4\n"
            "# 2 ranks on 1 host, backend mpi (it was asked for), order tree, a barrier 12.3 us, heap warm "
            "for all\n"
            "# lockstep bench step\n");
}

TEST(RunFacts, AGpuIsNamed) {
  RunFacts with = facts();
  with.machine.gpu = "NVIDIA H200";
  EXPECT_THAT(describe(with), HasSubstr("# A CPU, 4 cores, L1 Data 32K, L3 33M; NVIDIA H200; Linux 6.1\n"));
  EXPECT_EQ(nlohmann::json::parse(to_json_text(with))["machine"]["gpu"], "NVIDIA H200");
  EXPECT_FALSE(nlohmann::json::parse(to_json_text(facts()))["machine"].contains("gpu"));
}

TEST(RunFacts, AreAllInTheJson) {
  const auto json = nlohmann::json::parse(to_json_text(facts()));
  EXPECT_EQ(json["machine"]["cpu"], "A CPU");
  EXPECT_EQ(json["machine"]["cores"], 4);
  EXPECT_EQ(json["machine"]["caches"]["L3"], "33M");
  EXPECT_EQ(json["versions"]["LibTorch"], "2.11.0");
  EXPECT_EQ(json["command"], "lockstep bench step");
  EXPECT_EQ(json["reduction_order"], "tree");
  EXPECT_EQ(json["warm_heap"], true);
  EXPECT_NEAR(json["barrier_us"].get<double>(), 12.34, 1e-9);
}

TEST(RunFacts, OfThisMachineAreNotInvented) {
  const Machine machine = read_machine();
  EXPECT_GE(machine.cores, 1);
  EXPECT_LE(machine.cores, sysconf(_SC_NPROCESSORS_ONLN));
  EXPECT_GT(machine.memory_gib, 0.1);
  EXPECT_THAT(machine.kernel, HasSubstr("Linux "));
}

}  // namespace
}  // namespace lockstep

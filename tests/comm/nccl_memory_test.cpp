// With calls of our own in NCCL's place: what is asked of it, in which order, and what happens when it
// refuses.
#include "comm/nccl_memory.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

namespace lockstep {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// One rank's library; the other ranks answer `others_succeed`.
struct FakeNccl {
  std::vector<std::string> log;
  std::vector<std::string> warnings;
  bool allocates = true;
  bool registers = true;
  bool has_windows = true;
  bool others_succeed = true;

  // What was never freed, as after an abort, goes with the library.
  std::vector<std::unique_ptr<char[]>> blocks = {};

  NcclMemoryCalls calls() {
    NcclMemoryCalls calls;
    calls.allocate = [this](void** data, std::size_t bytes) {
      log.push_back("allocate " + std::to_string(bytes));
      if (allocates) *data = blocks.emplace_back(new char[bytes]).get();
      return allocates ? 0 : 1;
    };
    calls.free = [this](void* data) {
      log.emplace_back("free");
      std::erase_if(blocks, [data](const auto& block) { return block.get() == data; });
      return 0;
    };
    calls.add_buffer = [this](void* data, std::size_t, void** handle) {
      log.emplace_back("register");
      *handle = data;
      return registers ? 0 : 1;
    };
    calls.remove_buffer = [this](void*) {
      log.emplace_back("deregister");
      return 0;
    };
    calls.add_window = [this](void* data, std::size_t, void** handle) {
      log.emplace_back("window");
      if (has_windows) *handle = data;
      return 0;
    };
    calls.remove_window = [this](void*) {
      log.emplace_back("close window");
      return 0;
    };
    calls.wait_for_device = [this] { log.emplace_back("wait"); };
    calls.all_ranks = [this](bool mine) { return mine && others_succeed; };
    return calls;
  }

  std::shared_ptr<NcclMemory> memory(NcclMemoryKind kind, bool required = false) {
    return std::make_shared<NcclMemory>(NcclMemoryChoice{kind, required}, calls(),
                                        [this](const std::string& line) { warnings.push_back(line); });
  }
};

const at::TensorOptions kFloats = at::TensorOptions().dtype(at::kFloat);

TEST(NcclMemoryTest, RegistersBeforeUseAndDeregistersBeforeFree) {
  FakeNccl nccl;
  const auto memory = nccl.memory(NcclMemoryKind::kRegistered);
  {
    const at::Tensor tensor = memory->allocate({3, 5}, kFloats);
    EXPECT_EQ(tensor.sizes(), at::IntArrayRef({3, 5}));
    EXPECT_EQ(tensor.scalar_type(), at::kFloat);
    tensor.fill_(1);  // it is real memory
  }
  // The GPU may still be at work in it: nothing is given back before all ranks come to the next allocation.
  EXPECT_THAT(nccl.log, ElementsAre("allocate 60", "register"));
  const at::Tensor next = memory->allocate({2}, kFloats);
  EXPECT_THAT(nccl.log,
              ElementsAre("allocate 60", "register", "wait", "deregister", "free", "allocate 8", "register"));
  memory->take_out();
  EXPECT_EQ(nccl.log.back(), "deregister");
  EXPECT_TRUE(nccl.warnings.empty());
}

// NCCL may know what a captured graph has used until it is finalized, which comes between the two.
TEST(NcclMemoryTest, FreesNothingBeforeTheCommunicatorHasGone) {
  FakeNccl nccl;
  const auto memory = nccl.memory(NcclMemoryKind::kRegistered);
  at::Tensor returned = memory->allocate({4}, kFloats);
  at::Tensor returned_late = memory->allocate({2}, kFloats);
  const at::Tensor kept = memory->allocate({1}, kFloats);
  nccl.log.clear();
  returned.reset();
  memory->take_out();
  returned_late.reset();
  EXPECT_THAT(nccl.log, ElementsAre("deregister", "deregister", "deregister"));
  memory->close();
  EXPECT_THAT(nccl.log, ElementsAre("deregister", "deregister", "deregister", "wait", "free", "free"));
  EXPECT_EQ(memory->allocated_bytes(), 4);
}

TEST(NcclMemoryTest, CountsWhatIsNotFreedYet) {
  FakeNccl nccl;
  nccl.has_windows = false;
  const auto memory = nccl.memory(NcclMemoryKind::kSymmetric);
  const at::Tensor kept = memory->allocate({4}, kFloats);
  at::Tensor dropped = memory->allocate({2, 3}, kFloats);
  EXPECT_EQ(memory->allocated_bytes(), 16 + 24);
  dropped.reset();
  EXPECT_EQ(memory->allocated_bytes(), 16 + 24);  // until all ranks come to the next allocation
  nccl.allocates = false;
  const at::Tensor ordinary = memory->allocate({8}, kFloats);
  EXPECT_EQ(memory->allocated_bytes(), 16);
}

TEST(NcclMemoryTest, ATensorMayOutliveTheCommunicator) {
  FakeNccl nccl;
  auto memory = nccl.memory(NcclMemoryKind::kSymmetric);
  at::Tensor tensor = memory->allocate({4}, kFloats);
  memory->take_out();
  memory->close();
  memory.reset();
  EXPECT_THAT(nccl.log, ElementsAre("allocate 16", "window", "close window"));
  tensor.reset();
  EXPECT_THAT(nccl.log, ElementsAre("allocate 16", "window", "close window", "wait", "free"));
}

TEST(NcclMemoryTest, AfterAnAbortNothingIsDeregistered) {
  FakeNccl nccl;
  const auto memory = nccl.memory(NcclMemoryKind::kRegistered);
  at::Tensor tensor = memory->allocate({4}, kFloats);
  memory->drop();
  tensor.reset();
  EXPECT_THAT(nccl.log, ElementsAre("allocate 16", "register", "wait", "free"));
}

TEST(NcclMemoryTest, WithoutWindowsItRegistersAndSaysSoOnce) {
  FakeNccl nccl;
  nccl.has_windows = false;
  const auto memory = nccl.memory(NcclMemoryKind::kSymmetric);
  const at::Tensor first = memory->allocate({4}, kFloats);
  const at::Tensor second = memory->allocate({4}, kFloats);
  EXPECT_EQ(memory->kind(), NcclMemoryKind::kRegistered);
  EXPECT_THAT(nccl.log, ElementsAre("allocate 16", "window", "register", "allocate 16", "register"));
  EXPECT_THAT(nccl.warnings, ElementsAre(HasSubstr("no symmetric windows")));
}

// A buffer that is registered on some ranks only is undefined behaviour in NCCL.
TEST(NcclMemoryTest, WhatOneRankCannotHaveNoneTakes) {
  FakeNccl nccl;
  nccl.others_succeed = false;
  const auto memory = nccl.memory(NcclMemoryKind::kSymmetric);
  const at::Tensor tensor = memory->allocate({4}, kFloats);
  EXPECT_EQ(memory->kind(), NcclMemoryKind::kOrdinary);
  EXPECT_EQ(tensor.numel(), 4);
  EXPECT_THAT(nccl.log, ElementsAre("allocate 16", "free"));
  EXPECT_THAT(nccl.warnings, ElementsAre(HasSubstr("ncclMemAlloc failed on some rank")));
  nccl.log.clear();
  memory->allocate({4}, kFloats);
  EXPECT_TRUE(nccl.log.empty());
}

TEST(NcclMemoryTest, ARegistrationThatFailsLeavesOrdinaryMemory) {
  FakeNccl nccl;
  nccl.registers = false;
  const auto memory = nccl.memory(NcclMemoryKind::kRegistered);
  const at::Tensor tensor = memory->allocate({4}, kFloats);
  EXPECT_THAT(nccl.log, ElementsAre("allocate 16", "register", "free"));
  EXPECT_EQ(memory->kind(), NcclMemoryKind::kOrdinary);
}

TEST(NcclMemoryTest, WhatWasAskedForIsNotReplaced) {
  FakeNccl nccl;
  nccl.has_windows = false;
  const auto memory = nccl.memory(NcclMemoryKind::kSymmetric, /*required=*/true);
  try {
    memory->allocate({4}, kFloats);
    FAIL() << "it took something else";
  } catch (const std::invalid_argument& error) {
    EXPECT_THAT(error.what(), HasSubstr("--nccl-memory symmetric: NCCL makes no symmetric windows"));
  }
}

TEST(NcclMemoryTest, NothingIsAskedForEmptyTensors) {
  FakeNccl nccl;
  EXPECT_EQ(nccl.memory(NcclMemoryKind::kSymmetric)->allocate({0, 7}, kFloats).numel(), 0);
  EXPECT_TRUE(nccl.log.empty());
}

TEST(ChooseNcclMemoryTest, FollowsTheVersion) {
  EXPECT_EQ(choose_nccl_memory("auto", 22809).kind, NcclMemoryKind::kRegistered);
  EXPECT_EQ(choose_nccl_memory("symmetric", 22809).kind, NcclMemoryKind::kSymmetric);
  EXPECT_TRUE(spares_sms(NcclMemoryKind::kSymmetric, 22803));
  EXPECT_FALSE(spares_sms(NcclMemoryKind::kSymmetric, 22707));
  EXPECT_FALSE(spares_sms(NcclMemoryKind::kRegistered, 22809));
  EXPECT_EQ(choose_nccl_memory("auto", 22605).kind, NcclMemoryKind::kRegistered);
  EXPECT_EQ(choose_nccl_memory("auto", 21805).kind, NcclMemoryKind::kOrdinary);
  EXPECT_FALSE(choose_nccl_memory("auto", 22809).required);
  EXPECT_EQ(choose_nccl_memory("registered", 22809).kind, NcclMemoryKind::kRegistered);
  EXPECT_TRUE(choose_nccl_memory("registered", 22809).required);
  const auto refusal = [](const std::string& name, int version) -> std::string {
    try {
      choose_nccl_memory(name, version);
      return "taken";
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
  };
  EXPECT_EQ(refusal("symmetric", 22605),
            "--nccl-memory symmetric: needs NCCL 2.27.3 or newer, and 2.26.5 is loaded; use auto");
  EXPECT_THAT(refusal("pinned", 22809), HasSubstr("known are auto, ordinary, registered, symmetric"));
}

}  // namespace
}  // namespace lockstep

#include "trainer/out_of_memory.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <new>
#include <stdexcept>
#include <utility>

namespace lockstep {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(OutOfMemory, IsKnownOfTheCpusAllocator) {
  try {
    at::empty({std::int64_t{1} << 50}, at::kByte);
    ADD_FAILURE() << "this machine has a pebibyte";
  } catch (const std::exception& error) {
    EXPECT_TRUE(is_out_of_memory(error));
    EXPECT_EQ(size_asked_for(error), "1048576.00 GiB");
  }
}

TEST(OutOfMemory, IsKnownOfTheGpusAllocatorAndOfNew) {
  const c10::OutOfMemoryError gpu(
      {__func__, __FILE__, __LINE__},
      "CUDA out of memory. Tried to allocate 20.50 MiB. GPU 0 has a total capacity of 139.80 GiB");
  EXPECT_TRUE(is_out_of_memory(gpu));
  EXPECT_EQ(size_asked_for(gpu), "20.50 MiB");
  EXPECT_TRUE(is_out_of_memory(std::bad_alloc()));
  EXPECT_EQ(size_asked_for(std::bad_alloc()), "");
  EXPECT_FALSE(is_out_of_memory(std::runtime_error("DefaultCPUAllocator: can't allocate memory")));
  EXPECT_FALSE(is_out_of_memory(c10::Error({__func__, __FILE__, __LINE__}, "shapes differ")));
}

TEST(OutOfMemory, AdviceHalvesTheBatchAndKeepsTheStep) {
  TrainConfig config;
  config.batch_size = 48;
  config.accumulate_grad_batches = 3;
  MemoryFacts facts{.where = "step 7",
                    .device = "cuda:1",
                    .asked_for = "20.50 MiB",
                    .held = {.weights = 3.0 * (1 << 30), .gradients = 1.5 * (1 << 20), .optimizer = {}},
                    .has_blocks = true};
  const std::string advice = out_of_memory_advice(config, facts);
  EXPECT_THAT(advice, HasSubstr("out of memory in step 7 on cuda:1, where 20.50 MiB more was asked for"));
  EXPECT_THAT(advice, HasSubstr("weights of 3.00 GiB, gradients of 1.5 MiB and its share"));
  EXPECT_THAT(advice, HasSubstr("--batch-size 24 and --accumulate-grad-batches 6"));
  EXPECT_THAT(advice, HasSubstr("add --activation-checkpointing"));
  EXPECT_THAT(advice, HasSubstr("lockstep estimate"));
  EXPECT_EQ(advice.find('\n'), std::string::npos);
  config.activation_checkpointing = true;
  facts.held.optimizer = 2.0 * (1 << 20);
  EXPECT_THAT(out_of_memory_advice(config, facts), Not(HasSubstr("--activation-checkpointing")));
  EXPECT_THAT(out_of_memory_advice(config, facts), HasSubstr("optimizer state of 2.0 MiB"));
}

TEST(OutOfMemory, AdviceWhereTheBatchCannotBeHalved) {
  TrainConfig config;
  config.batch_size = 1;
  config.shard_optimizer = "off";
  MemoryFacts facts;
  facts.has_tokens = true;
  facts.ranks = 2;
  EXPECT_THAT(out_of_memory_advice(config, facts),
              HasSubstr("a shorter --sequence-length; --shard-optimizer on saves memory, too"));
  EXPECT_THAT(out_of_memory_advice(config, {}), HasSubstr("a smaller --model or a device with more memory"));
}

constexpr double kGib = 1 << 30;

// 80 GiB, of which others have 8; the activations of 48 samples needed 64 GiB where there are 62.
const MemoryShortage kShortage{.at = {.asked_for = 4 * kGib,
                                      .device_total = 80 * kGib,
                                      .device_free = 1.5 * kGib,
                                      .reserved = 70.5 * kGib,
                                      .allocated = 70 * kGib,
                                      .peak_allocated = 70 * kGib},
                               .kept = 10 * kGib,
                               .whole_forward = true};

MemoryFacts gpu_facts(const MemoryShortage& shortage) {
  return {.where = "step 7",
          .device = "cuda:1",
          .asked_for = "4.00 GiB",
          .held = {.weights = 2 * kGib, .gradients = 2 * kGib, .optimizer = 4 * kGib},
          .shortage = shortage};
}

TrainConfig config_of(std::int64_t batch_size, std::int64_t accumulate_grad_batches) {
  TrainConfig config;
  config.batch_size = batch_size;
  config.accumulate_grad_batches = accumulate_grad_batches;
  return config;
}

TEST(BatchThatFits, IsOfTheRoomThatThereIs) {
  EXPECT_EQ(room_for_activations(kShortage), 62 * kGib);
  EXPECT_EQ(batch_that_fits(48, kShortage), 46);  // 48 x 62 / 64 = 46.5
  EXPECT_EQ(batch_that_fits(1, kShortage), 0);
}

TEST(BatchThatFits, LeavesRoomForTheOptimizersFirstStep) {
  MemoryShortage first = kShortage;
  first.optimizer_to_come = 30 * kGib;
  EXPECT_EQ(batch_that_fits(48, first), 24);  // 48 x 32 / 64
  first.optimizer_to_come = 62 * kGib;
  EXPECT_EQ(batch_that_fits(48, first), 0);
}

TEST(BatchThatFits, IsHalfAtMostWhereTheForwardPassDidNotEnd) {
  MemoryShortage early = kShortage;
  early.whole_forward = false;
  EXPECT_EQ(batch_that_fits(48, early), 24);
  early.optimizer_to_come = 46 * kGib;
  EXPECT_EQ(batch_that_fits(48, early), 12);  // 48 x 16 / 64
  EXPECT_EQ(batch_that_fits(1, early), 0);
}

TEST(BatchThatFits, GoesByAStepThatNeededMore) {
  MemoryShortage later = kShortage;
  later.at.allocated = 30 * kGib;
  later.at.reserved = 30 * kGib;
  EXPECT_EQ(batch_that_fits(48, later), 17);  // 48 x 21.5 / 60 = 17.2; another program has the rest
  later.at.device_free = 41 * kGib;
  EXPECT_EQ(batch_that_fits(48, later), 47);  // it did not fit, whatever the arithmetic says
}

TEST(SplitStep, KeepsTheSamplesWhereBatchesDivideThem) {
  const auto split = [](std::int64_t samples, std::int64_t largest_batch) {
    const StepSamples step = split_step(samples, largest_batch);
    return std::pair(step.batch_size, step.accumulate_grad_batches);
  };
  EXPECT_EQ(split(144, 46), std::pair(36L, 4L));
  EXPECT_EQ(split(128, 60), std::pair(32L, 4L));  // not 3 batches of 42
  EXPECT_EQ(split(7, 6), std::pair(4L, 2L));      // 8 samples
  EXPECT_EQ(split(13, 6), std::pair(4L, 3L));     // 12 samples
  EXPECT_EQ(split(6, 1), std::pair(1L, 6L));
}

TEST(OutOfMemory, AdviceOfAGpuNamesThePartsAndTheBatch) {
  const std::string advice = out_of_memory_advice(config_of(48, 3), gpu_facts(kShortage));
  EXPECT_THAT(advice, HasSubstr("weights of 2.00 GiB, gradients of 2.00 GiB and optimizer state of 4.00 GiB "
                                "the activations of --batch-size 48 had taken 60.00 GiB; of the device's "
                                "80.00 GiB, 1.50 GiB was free, 512.0 MiB lay unused between tensors, and "
                                "CUDA, NCCL and other programs had 8.00 GiB; start over (--fresh) with "
                                "--batch-size 36 and --accumulate-grad-batches 4, as many samples a step, "
                                "whose activations take about 48.00 GiB of the 62.00 GiB that there are"));
  EXPECT_THAT(advice, Not(HasSubstr("--expandable-segments")));
  EXPECT_EQ(advice.find('\n'), std::string::npos);
}

TEST(OutOfMemory, AdviceSaysWhereTheStepCannotKeepItsSamples) {
  EXPECT_THAT(out_of_memory_advice(config_of(7, 1), gpu_facts(kShortage)),
              HasSubstr("--batch-size 4 and --accumulate-grad-batches 2, 8 samples a step instead of 7"));
}

TEST(OutOfMemory, AdviceInTheFirstForwardPass) {
  MemoryShortage early = kShortage;
  early.whole_forward = false;
  early.optimizer_to_come = 4 * kGib;
  MemoryFacts facts = gpu_facts(early);
  facts.held.optimizer = 0.0;
  const std::string advice = out_of_memory_advice(config_of(48, 1), facts);
  EXPECT_THAT(advice, HasSubstr("optimizer state of 4.00 GiB (of which 4.00 GiB is yet to come)"));
  EXPECT_THAT(advice, HasSubstr("--batch-size 24 and --accumulate-grad-batches 2, as many samples a step, "
                                "whose activations take at least 32.00 GiB of the 58.00 GiB"));
}

TEST(OutOfMemory, AdviceWhereTheMemoryIsInPieces) {
  MemoryShortage pieces = kShortage;
  pieces.at.reserved = 64 * kGib;
  pieces.at.allocated = 50 * kGib;
  MemoryFacts facts = gpu_facts(pieces);
  TrainConfig config = config_of(48, 1);
  const std::string advice = out_of_memory_advice(config, facts);
  EXPECT_THAT(advice, HasSubstr("14.00 GiB lay unused between tensors"));
  EXPECT_THAT(advice, HasSubstr("the memory is there, but not in one piece: add --expandable-segments, with "
                                "which the run goes on from its checkpoint, or start over"));
  EXPECT_THAT(advice, HasSubstr("--batch-size 24 and --accumulate-grad-batches 2"));
  config.expandable_segments = true;
  EXPECT_THAT(out_of_memory_advice(config, facts), Not(HasSubstr("add --expandable-segments")));
}

TEST(OutOfMemory, AdviceWhereNoBatchFits) {
  MemoryShortage shortage = kShortage;
  shortage.optimizer_to_come = 61.9 * kGib;
  MemoryFacts facts = gpu_facts(shortage);
  facts.has_tokens = facts.has_blocks = true;
  EXPECT_THAT(out_of_memory_advice(config_of(48, 1), facts),
              HasSubstr("add --activation-checkpointing, with which the run goes on from its checkpoint, or "
                        "since not even one sample fits, start over (--fresh) with a shorter"));
  EXPECT_THAT(out_of_memory_advice(config_of(1, 1), facts), Not(HasSubstr("not even one sample")));
  facts.shortage->optimizer_to_come = 63 * kGib;
  facts.ranks = 2;
  TrainConfig config = config_of(48, 1);
  config.shard_optimizer = "off";
  EXPECT_THAT(out_of_memory_advice(config, facts),
              HasSubstr("that leaves no room for activations: take a smaller --model or a device with more "
                        "memory; --shard-optimizer on saves memory, too; lockstep estimate"));
}

TEST(OutOfMemory, WhatAnOptimizerComesToHold) {
  TrainConfig config;
  config.optimizer = "adamw";
  EXPECT_EQ(optimizer_bytes(config, 3.0), 6.0);
  config.optimizer = "sgd";
  EXPECT_EQ(optimizer_bytes(config, 3.0), 3.0);  // --momentum 0.9
  config.momentum = 0.0;
  EXPECT_EQ(optimizer_bytes(config, 3.0), 0.0);
}

}  // namespace
}  // namespace lockstep

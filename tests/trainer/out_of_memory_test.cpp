#include "trainer/out_of_memory.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <new>
#include <stdexcept>

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

}  // namespace
}  // namespace lockstep

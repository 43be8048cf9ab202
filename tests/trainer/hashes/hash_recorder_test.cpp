// Lines of hashes.jsonl against SHA-256 of bytes that the test computes itself. That they are PyTorch's, too,
// is for tests/end_to_end/compare_test.py.
#include "trainer/hashes/hash_recorder.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/sum.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/comm/rank_threads.h"
#include "tests/temporary_folder.h"
#include "trainer/checkpoint/sha256.h"

namespace lockstep {
namespace {

using Json = nlohmann::ordered_json;

std::string hash(const std::vector<float>& numbers) {
  return sha256_of({reinterpret_cast<const char*>(numbers.data()), numbers.size() * sizeof(float)});
}

// The parameter (2, 2) holds 1; its gradient is what it is multiplied with.
void backward(const at::Tensor& parameter, float gradient) {
  at::sum(at::mul(parameter, at::full({2, 2}, gradient))).backward();
}

TEST(HashRecorderTest, HashesWhatEachRankHasInItsOrder) {
  const TemporaryFolder folder;
  const auto file = folder.path() / "hashes.jsonl";
  testing::run_ranks(2, [&](Communicator& mine) {
    const CommunicatorPtr communicator(&mine, [](Communicator*) {});
    const auto rank = static_cast<float>(communicator->rank());
    const at::Tensor weight = at::full({2, 2}, 1.0).requires_grad_();
    const at::Tensor unused = at::full({1}, 1.0).requires_grad_();
    HashRecorder recorder({{"weight", weight}, {"unused", unused}}, communicator, file);
    backward(weight, 100);  // before any step: nobody's
    weight.mutable_grad().reset();
    recorder.begin_step();
    for (int batch = 0; batch < 2; ++batch) {  // accumulated
      recorder.inputs(at::full({3}, rank), at::full({1}, batch, at::kFloat));
      backward(weight, 10 * rank + static_cast<float>(batch));
    }
    recorder.reduced();
    recorder.end_step(7, {{"weight", weight.detach().add(1)}, {"buffer", at::arange(2, at::kFloat)}});
    recorder.begin_step();
    recorder.reduced();
    recorder.end_step(8, {});
  });

  std::istringstream lines(read_text(file));
  std::string line;
  ASSERT_TRUE(std::getline(lines, line));
  const Json first = Json::parse(line);
  EXPECT_EQ(first["step"], 7);
  EXPECT_EQ(first["inputs"], Json({hash({0, 0, 0, 0, 0, 0, 0, 1}), hash({1, 1, 1, 0, 1, 1, 1, 1})}));
  EXPECT_EQ(first["gradients"]["weight"],
            Json({hash({0, 0, 0, 0, 1, 1, 1, 1}), hash({10, 10, 10, 10, 11, 11, 11, 11})}));
  EXPECT_EQ(first["gradients"]["unused"], Json({hash({}), hash({})}));
  EXPECT_EQ(first["reduced"],
            Json({{"weight", hash({1, 1, 1, 1})}, {"unused", hash({})}}));  // .grad of rank 0
  EXPECT_EQ(first["weights"], Json({{"weight", hash({2, 2, 2, 2})}, {"buffer", hash({0, 1})}}));
  ASSERT_TRUE(std::getline(lines, line));
  EXPECT_EQ(Json::parse(line)["gradients"]["weight"], Json({hash({}), hash({})})) << "a step starts anew";
  EXPECT_FALSE(std::getline(lines, line));
}

TEST(HashRecorderTest, RanksOfOneProcessComeOneAfterTheOther) {
  const TemporaryFolder folder;
  const auto file = folder.path() / "hashes.jsonl";
  testing::run_ranks(2, [&](Communicator& mine) {
    const CommunicatorPtr communicator(&mine, [](Communicator*) {});
    const at::Tensor weight = at::full({2, 2}, 1.0).requires_grad_();
    HashRecorder recorder({{"weight", weight}}, communicator, file, 2);
    recorder.begin_step();
    for (int i = 0; i < 2; ++i) {
      const auto logical_rank = static_cast<float>(2 * communicator->rank() + i);
      recorder.begin_rank(i);
      recorder.inputs(at::full({1}, logical_rank), at::full({1}, 0.0F));
      backward(weight, logical_rank);
    }
    recorder.reduced();
    recorder.end_step(1, {});
  });
  const Json line = Json::parse(read_text(file));
  for (int rank = 0; rank < 4; ++rank) {
    const auto number = static_cast<float>(rank);
    EXPECT_EQ(line["inputs"][static_cast<std::size_t>(rank)], hash({number, 0}));
    EXPECT_EQ(line["gradients"]["weight"][static_cast<std::size_t>(rank)],
              hash({number, number, number, number}));
  }
}

TEST(HashRecorderTest, LeavesNoHookBehind) {
  const TemporaryFolder folder;
  const at::Tensor weight = at::full({2, 2}, 1.0).requires_grad_();
  testing::run_ranks(1, [&](Communicator& mine) {
    const CommunicatorPtr communicator(&mine, [](Communicator*) {});
    HashRecorder recorder({{"weight", weight}}, communicator, folder.path() / "x");
    recorder.begin_step();
  });
  backward(weight, 3);
  EXPECT_EQ(weight.grad().sum().item<float>(), 12.0F);
}

}  // namespace
}  // namespace lockstep

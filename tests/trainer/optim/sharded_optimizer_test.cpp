// A shared-out update against every rank's own, bit for bit: over shared memory, over sockets, and over
// neither.
#include "trainer/optim/sharded_optimizer.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>
#include <ATen/record_function.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <future>
#include <mutex>

#include "comm/errors.h"
#include "comm/shared_memory_communicator.h"
#include "sampler/data_error.h"
#include "tests/comm/rank_threads.h"
#include "tests/comm/tcp_ranks.h"
#include "tests/trainer/optim/named_parameters.h"
#include "trainer/optim/clip_grad.h"

namespace lockstep {
namespace {

using testing::backward;
using testing::NamedParameters;
using testing::tensors_of;

constexpr auto kTimeout = std::chrono::seconds(20);

CommunicatorPtr share_memory(CommunicatorPtr base) {
  return SharedMemoryCommunicator::create(std::move(base), ReductionOrder::kPytorch, kTimeout).communicator;
}

enum class Link { kNone, kSharedMemory, kSockets };

// Large and small, one with the memory order of a channels-last convolution.
NamedParameters make_parameters() {
  auto generator = at::detail::createCPUGenerator(5);
  NamedParameters parameters = {
      {"a", at::randn({200, 150}, generator)},
      {"b", at::randn({7}, generator)},
      {"c", at::randn({32, 16, 9, 9}, generator).contiguous(at::MemoryFormat::ChannelsLast)},
      {"d", at::randn({1}, generator)}};
  for (auto& [name, parameter] : parameters) parameter.requires_grad_();
  return parameters;
}

struct Case {
  const char* name;
  const char* optimizer;
  OptimizerOptions options;
  double clip;
};

const Case kCases[] = {
    {"sgd", "sgd", {.lr = 0.05}, 0.0},
    {"sgd_momentum", "sgd", {.lr = 0.05, .momentum = 0.9, .weight_decay = 1e-3}, 0.0},
    {"sgd_nesterov", "sgd", {.lr = 0.05, .momentum = 0.9, .nesterov = true, .weight_decay = 1e-3}, 0.0},
    {"sgd_dampening", "sgd", {.lr = 0.05, .momentum = 0.9, .dampening = 0.2}, 0.0},
    {"adam", "adam", {.lr = 0.01, .weight_decay = 1e-2}, 0.0},
    {"adamw", "adamw", {.lr = 0.01, .weight_decay = 1e-2}, 0.0},
    {"sgd_clipped", "sgd", {.lr = 0.05, .momentum = 0.9}, 0.5},
};

struct Result {
  std::vector<at::Tensor> parameters;
  std::vector<OptimizerStateEntry> state;
};

enum class How { kWhole, kSharded, kOverlapped };

// Twice, since the second overwrites the first.
void expect_same_snapshot(ShardedOptimizer& optimizer, const std::vector<OptimizerStateEntry>& state,
                          Link link, int rank) {
  const void* place = nullptr;
  for (int i = 0; i < 2; ++i) {
    const auto snapshot = optimizer.snapshot_state([&](const OptimizerStateEntry& whole) {
      EXPECT_NE(link, Link::kSharedMemory);
      return whole.value.clone();
    });
    if (rank != 0) {
      EXPECT_THAT(snapshot, ::testing::IsEmpty());
      continue;
    }
    ASSERT_EQ(snapshot.size(), state.size());
    for (std::size_t entry = 0; entry < state.size(); ++entry) {
      EXPECT_EQ(snapshot[entry].parameter_index, state[entry].parameter_index);
      EXPECT_EQ(snapshot[entry].name, state[entry].name);
      EXPECT_EQ(snapshot[entry].value.sizes(), state[entry].value.sizes());
      EXPECT_TRUE(at::equal(snapshot[entry].value, state[entry].value)) << state[entry].name;
    }
    if (link != Link::kSharedMemory || snapshot.empty()) continue;
    if (i == 1) {
      EXPECT_EQ(snapshot[0].value.const_data_ptr(), place);
    }
    place = snapshot[0].value.const_data_ptr();
  }
}

// Some steps of rank `comm.rank()`, whose gradients differ from the other ranks'; from `start`'s memory, if
// there is one, at step `first`.
Result train(Communicator& comm, Link link, const Case& which, How how, int first, int steps,
             const Result* start = nullptr) {
  const auto named = make_parameters();
  const auto parameters = tensors_of(named);
  if (start != nullptr) {
    const at::NoGradGuard no_grad;
    for (std::size_t i = 0; i < parameters.size(); ++i) parameters[i].copy_(start->parameters[i]);
  }
  const CommunicatorPtr shared(&comm, [](Communicator*) {});
  Reducer reducer(named, shared, {.first_bucket_cap_bytes = 1000, .bucket_cap_bytes = 150000});
  std::unique_ptr<Optimizer> optimizer;
  ShardedOptimizer* sharded = nullptr;
  if (how != How::kWhole) {
    auto owned =
        std::make_unique<ShardedOptimizer>(which.optimizer, parameters, which.options, reducer, shared);
    sharded = owned.get();
    EXPECT_EQ(sharded->shares_memory(), link == Link::kSharedMemory);
    EXPECT_EQ(sharded->scatters(), link == Link::kSockets && comm.world_size() > 1);
    if (how == How::kOverlapped) sharded->overlap_param_gather();
    EXPECT_EQ(sharded->overlaps_param_gather(), how == How::kOverlapped && sharded->scatters());
    optimizer = std::move(owned);
  } else {
    optimizer = create_optimizer(which.optimizer, parameters, which.options);
  }
  if (start != nullptr) optimizer->load_state(start->state);
  for (int step = first; step < first + steps; ++step) {
    optimizer->zero_grad();
    reducer.prepare_for_forward(true);
    auto generator = at::detail::createCPUGenerator(static_cast<std::uint64_t>(1000 * step + comm.rank()));
    at::Tensor loss = at::zeros({});
    for (const at::Tensor& parameter : parameters)
      loss = loss + (parameter * at::randn(parameter.sizes(), generator)).sum();
    loss.backward();
    if (which.clip > 0) {
      if (sharded != nullptr) sharded->average_gradients();
      clip_grad_norm(parameters, which.clip);
    }
    optimizer->step();
  }
  Result result;
  for (const at::Tensor& parameter : parameters) result.parameters.push_back(parameter.detach().clone());
  for (const OptimizerStateEntry& entry : optimizer->state())
    result.state.push_back({entry.parameter_index, entry.name, entry.value.clone()});
  if (sharded != nullptr) expect_same_snapshot(*sharded, result.state, link, comm.rank());
  return result;
}

void expect_equal(const Result& result, const Result& expected) {
  ASSERT_EQ(result.parameters.size(), expected.parameters.size());
  for (std::size_t i = 0; i < result.parameters.size(); ++i)
    EXPECT_TRUE(at::equal(result.parameters[i], expected.parameters[i])) << "parameter " << i;
  ASSERT_EQ(result.state.size(), expected.state.size());
  for (std::size_t i = 0; i < result.state.size(); ++i) {
    EXPECT_EQ(result.state[i].name, expected.state[i].name);
    EXPECT_EQ(result.state[i].parameter_index, expected.state[i].parameter_index);
    EXPECT_TRUE(at::equal(result.state[i].value, expected.state[i].value)) << result.state[i].name;
  }
}

class ShardedOptimizerTest : public ::testing::TestWithParam<std::tuple<Case, int, Link>> {};

TEST_P(ShardedOptimizerTest, HasTheBitsOfTheWholeOne) {
  const auto& [which, world_size, link] = GetParam();
  std::function<CommunicatorPtr(CommunicatorPtr)> make;
  if (link == Link::kSharedMemory) make = share_memory;
  if (link == Link::kSockets) make = testing::over_sockets({.machines = world_size});
  testing::run_ranks(
      world_size,
      [&](Communicator& comm) {
        const Result whole = train(comm, link, which, How::kWhole, 0, 6);
        const Result sharded = train(comm, link, which, How::kSharded, 0, 6);
        expect_equal(sharded, whole);
        expect_equal(train(comm, link, which, How::kOverlapped, 0, 6), whole);
        // Half-way from the one to the other: a checkpoint does not depend on who keeps what.
        const Result half = train(comm, link, which, How::kSharded, 0, 3);
        // A reducer that starts anew has one bucket, which decides bits beyond two ranks.
        if (world_size > 2) return;
        expect_equal(train(comm, link, which, How::kWhole, 3, 3, &half), whole);
        expect_equal(train(comm, link, which, How::kSharded, 3, 3, &half), whole);
        expect_equal(train(comm, link, which, How::kOverlapped, 3, 3, &half), whole);
      },
      kTimeout, make);
}

std::string case_name(const ::testing::TestParamInfo<std::tuple<Case, int, Link>>& info) {
  const auto& [which, world_size, link] = info.param;
  const char* const links[] = {"_apart", "_shared", "_sockets"};
  return std::string(which.name) + "_" + std::to_string(world_size) + links[static_cast<std::size_t>(link)];
}

INSTANTIATE_TEST_SUITE_P(, ShardedOptimizerTest,
                         ::testing::Combine(::testing::ValuesIn(kCases), ::testing::Values(1, 2, 3),
                                            ::testing::Values(Link::kNone, Link::kSharedMemory,
                                                              Link::kSockets)),
                         case_name);

TEST(ShardedOptimizer, GivesRanksTheirOwnParametersBack) {
  testing::run_ranks(
      2,
      [](Communicator& comm) {
        const auto named = make_parameters();
        const auto parameters = tensors_of(named);
        const CommunicatorPtr shared(&comm, [](Communicator*) {});
        const auto& memory = dynamic_cast<SharedMemoryCommunicator&>(comm).memory();
        Reducer reducer(named, shared);
        {
          ShardedOptimizer optimizer("sgd", parameters, {}, reducer, shared);
          EXPECT_TRUE(optimizer.shares_memory());
          EXPECT_EQ(memory->contains(parameters[0].const_data_ptr(), 4), comm.rank() == 0);
          comm.barrier();
        }
        EXPECT_FALSE(memory->contains(parameters[0].const_data_ptr(), 4));
        const at::NoGradGuard no_grad;
        parameters[0].fill_(comm.rank());
        comm.barrier();
        EXPECT_EQ(parameters[0].flatten()[0].item<float>(), static_cast<float>(comm.rank()));
      },
      kTimeout, share_memory);
}

TEST(ShardedOptimizer, KeepsAShareOfTheMemory) {
  std::mutex mutex;
  std::vector<std::int64_t> elements;
  testing::run_ranks(
      2,
      [&](Communicator& comm) {
        const auto named = make_parameters();
        const CommunicatorPtr shared(&comm, [](Communicator*) {});
        Reducer reducer(named, shared);
        std::int64_t mine = 0;
        for (const Shard& shard : reducer.shards()) mine += shard.size();
        const std::scoped_lock lock(mutex);
        elements.push_back(mine);
      },
      kTimeout, share_memory);
  std::int64_t all = 0;
  for (const auto& [name, parameter] : make_parameters()) all += parameter.numel();
  EXPECT_EQ(elements[0] + elements[1], all);
  EXPECT_NEAR(static_cast<double>(elements[0]), static_cast<double>(all) / 2, 64.0);
}

TEST(ShardedOptimizer, RefusesAStateOfAnotherModel) {
  testing::run_ranks(2, [](Communicator& comm) {
    const auto named = make_parameters();
    const CommunicatorPtr shared(&comm, [](Communicator*) {});
    Reducer reducer(named, shared);
    ShardedOptimizer optimizer("sgd", tensors_of(named), {.momentum = 0.9}, reducer, shared);
    EXPECT_FALSE(optimizer.shares_memory());
    EXPECT_THROW(optimizer.load_state({{0, "momentum_buffer", at::zeros({3})}}), DataError);
    EXPECT_THROW(optimizer.load_state({{9, "momentum_buffer", at::zeros({3})}}), DataError);
  });
}

TEST(ShardedOptimizer, SendsOverSocketsWhatAnAllReduceWould) {
  testing::run_tcp({.machines = 4}, [](Communicator& comm) {
    NamedParameters named = {{"a", at::zeros({1 << 20}).requires_grad_()}};
    const CommunicatorPtr shared(&comm, [](Communicator*) {});
    Reducer reducer(named, shared);
    ShardedOptimizer optimizer("sgd", tensors_of(named), {.lr = 1.0}, reducer, shared);
    std::int64_t before = 0;
    for (int step = 0; step < 3; ++step) {
      comm.barrier();
      before = comm.bytes_sent();
      optimizer.zero_grad();
      reducer.prepare_for_forward(true);
      backward(named);
      EXPECT_FALSE(named[0].second.grad().defined());
      optimizer.step();
    }
    comm.barrier();
    EXPECT_EQ(comm.bytes_sent() - before, 2 * 3 * (4 << 20) / 4);
    EXPECT_TRUE(at::equal(named[0].second, at::full({1 << 20}, -3.0F)));
  });
}

TEST(ShardedOptimizer, GoesOnOverSocketsAfterAnUpdateThatWasLeftOut) {
  testing::run_tcp({.machines = 2}, [](Communicator& comm) {
    NamedParameters named = make_parameters();
    const at::Tensor start = named[0].second.detach().clone();
    const CommunicatorPtr shared(&comm, [](Communicator*) {});
    Reducer reducer(named, shared);
    ShardedOptimizer optimizer("sgd", tensors_of(named), {.lr = 1.0}, reducer, shared);
    EXPECT_THROW(optimizer.step(), std::logic_error);  // no backward pass yet
    for (int pass = 0; pass < 2; ++pass) {
      optimizer.zero_grad();
      reducer.prepare_for_forward(true);
      backward(named);
    }
    optimizer.step();
    EXPECT_TRUE(at::equal(named[0].second, start - 1.0F));
    optimizer.zero_grad();
    reducer.prepare_for_forward(true);
    backward(named);
    optimizer.average_gradients();
    EXPECT_TRUE(at::equal(named[0].second.grad(), at::ones_like(start)));
    optimizer.step();
    EXPECT_TRUE(at::equal(named[0].second, start - 1.0F - 1.0F));
  });
}

// Two ranks over sockets, one after the other at the update of 2^20 ones, of which 1 is taken away: rank 0
// has done its step() before rank 1 begins with it.
void step_one_after_the_other(
    const std::function<void(Communicator&, ShardedOptimizer&, Reducer&, const NamedParameters&)>& then) {
  std::promise<void> first_has_stepped;
  testing::run_tcp({.machines = 2}, [&](Communicator& comm) {
    const NamedParameters named = {{"a", at::ones({1 << 20}).requires_grad_()}};
    const CommunicatorPtr shared(&comm, [](Communicator*) {});
    Reducer reducer(named, shared);
    ShardedOptimizer optimizer("sgd", tensors_of(named), {.lr = 1.0}, reducer, shared);
    optimizer.overlap_param_gather();
    reducer.prepare_for_forward(true);
    backward(named);
    if (comm.rank() == 1) {
      EXPECT_EQ(first_has_stepped.get_future().wait_for(kTimeout), std::future_status::ready);
    }
    optimizer.step();
    if (comm.rank() == 0) {
      const float* memory = named[0].second.const_data_ptr<float>();
      EXPECT_EQ(memory[0], 0.0F);              // its own
      EXPECT_EQ(memory[(1 << 20) - 1], 1.0F);  // rank 1 has not come yet
      first_has_stepped.set_value();
    }
    then(comm, optimizer, reducer, named);
  });
}

TEST(OverlappedParamGather, AnOperationWaitsForWhatItTakes) {
  step_one_after_the_other(
      [](Communicator&, ShardedOptimizer&, Reducer& reducer, const NamedParameters& named) {
        EXPECT_TRUE(at::equal(at::cat({named[0].second, at::zeros({1})}), at::zeros({(1 << 20) + 1})));
        EXPECT_GT(reducer.take_parameter_wait_s(), 0.0);
        EXPECT_EQ(reducer.take_parameter_wait_s(), 0.0);
        EXPECT_FALSE(at::getStepCallbacksUnlessEmpty(at::RecordScope::FUNCTION)
                         .has_value());  // operations cost what they did before
      });
}

TEST(OverlappedParamGather, WhoReadsMemoryWaitsByHand) {
  step_one_after_the_other(
      [](Communicator&, ShardedOptimizer& optimizer, Reducer&, const NamedParameters& named) {
        optimizer.wait_for_parameters();
        EXPECT_EQ(named[0].second.const_data_ptr<float>()[(1 << 20) - 1], 0.0F);
      });
}

TEST(OverlappedParamGather, ABackwardPassWaitsForWhatTheForwardPassLeftOut) {
  testing::run_tcp({.machines = 2}, [&](Communicator& comm) {
    const NamedParameters named = make_parameters();
    const CommunicatorPtr shared(&comm, [](Communicator*) {});
    Reducer reducer(named, shared);
    ShardedOptimizer optimizer("sgd", tensors_of(named), {.lr = 1.0}, reducer, shared);
    std::vector<at::Tensor> start;
    for (const auto& [name, parameter] : named) start.push_back(parameter.detach().clone());
    int before = 0;
    optimizer.overlap_param_gather([&] { ++before; });
    for (int step = 0; step < 4; ++step) {
      optimizer.zero_grad();
      reducer.prepare_for_forward(true);
      // The graph of `twice` reads the parameters' gradients and never the parameters.
      at::Tensor twice = at::zeros({});
      {
        const at::RecordFunctionGuard unheard(false);
        for (const auto& [name, parameter] : named) twice = twice + parameter.sum();
      }
      twice.backward();
      EXPECT_FALSE(named[0].second.grad().defined());
      optimizer.step();
      EXPECT_FALSE(named[0].second.grad().defined());
    }
    EXPECT_EQ(before, 4);
    for (std::size_t i = 0; i < start.size(); ++i)
      EXPECT_TRUE(at::equal(named[i].second, start[i] - 1.0F - 1.0F - 1.0F - 1.0F));
  });
}

TEST(OverlappedParamGather, AFailureThatAnOperationMetIsThrownByTheBackwardPass) {
  std::promise<void> first_has_stepped;
  testing::run_ranks(
      2,
      [&](Communicator& comm) {
        const NamedParameters named = make_parameters();
        const CommunicatorPtr shared(&comm, [](Communicator*) {});
        Reducer reducer(named, shared);
        ShardedOptimizer optimizer("sgd", tensors_of(named), {.lr = 1.0}, reducer, shared);
        optimizer.overlap_param_gather();
        for (int step = 0; step < 3; ++step) {  // the buckets are rebuilt after the first
          if (step > 0) optimizer.step();
          optimizer.zero_grad();
          reducer.prepare_for_forward(true);
          backward(named);
        }
        if (comm.rank() == 1) {
          EXPECT_EQ(first_has_stepped.get_future().wait_for(kTimeout), std::future_status::ready);
          return comm.abort("rank 1 gives up");
        }
        optimizer.step();
        first_has_stepped.set_value();
        optimizer.zero_grad();
        reducer.prepare_for_forward(true);
        const at::Tensor loss = named[0].second.sum() + named[1].second.sum();
        EXPECT_THROW(loss.backward(), CommError);
        EXPECT_THROW(optimizer.wait_for_parameters(), CommError);
      },
      kTimeout, testing::over_sockets({.machines = 2}));
}

TEST(OverlappedParamGather, ChangesNothingWhereRanksShareMemory) {
  testing::run_ranks(
      2,
      [](Communicator& comm) {
        const NamedParameters named = make_parameters();
        const CommunicatorPtr shared(&comm, [](Communicator*) {});
        Reducer reducer(named, shared);
        ShardedOptimizer optimizer("sgd", tensors_of(named), {.lr = 1.0}, reducer, shared);
        optimizer.overlap_param_gather();
        EXPECT_FALSE(optimizer.overlaps_param_gather());
        optimizer.wait_for_parameters();
        EXPECT_THROW(reducer.overlap_gathering(true), std::logic_error);
        comm.barrier();
      },
      kTimeout, share_memory);
}

}  // namespace
}  // namespace lockstep

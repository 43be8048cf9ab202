// Parameters are leaves of tiny graphs whose gradients are known, so that averages follow from arithmetic.
#include "comm/reducer.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <mutex>
#include <optional>
#include <thread>

#include "comm/errors.h"
#include "comm/shared_memory_communicator.h"
#include "tests/comm/rank_threads.h"

namespace lockstep {
namespace {

using ::testing::HasSubstr;

using NamedParameters = std::vector<std::pair<std::string, at::Tensor>>;

NamedParameters make_parameters(std::initializer_list<std::int64_t> sizes) {
  NamedParameters parameters;
  for (const std::int64_t size : sizes) {
    parameters.emplace_back(std::string("p").append(std::to_string(parameters.size())),
                            at::ones({size}).requires_grad_());
  }
  return parameters;
}

// d/dp_i of sum_i scale * (i + 1) * sum(p_i): scale * (i + 1) everywhere. Gradients arrive in reverse order
// of use.
void backward(const NamedParameters& parameters, double scale) {
  at::Tensor loss = at::zeros({});
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    loss = loss + parameters[i].second.sum() * (scale * static_cast<double>(i + 1));
  }
  loss.backward();
}

void drop_gradients(const NamedParameters& parameters) {
  for (const auto& [name, parameter] : parameters) parameter.mutable_grad().reset();
}

void expect_gradients(const NamedParameters& parameters, double scale) {
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const at::Tensor& gradient = parameters[i].second.grad();
    EXPECT_TRUE(at::equal(gradient, at::full_like(gradient, scale * static_cast<double>(i + 1))))
        << parameters[i].first;
  }
}

CommunicatorPtr share_memory_in(ReductionOrder order, CommunicatorPtr base) {
  auto created = SharedMemoryCommunicator::create(std::move(base), order, std::chrono::seconds(20));
  if (!created.communicator) throw std::runtime_error(created.problem);
  return created.communicator;
}

CommunicatorPtr share_memory(CommunicatorPtr base) {
  return share_memory_in(ReductionOrder::kPytorch, std::move(base));
}

class ReducerTest : public ::testing::TestWithParam<int> {};

TEST_P(ReducerTest, AveragesOverRanksBeforeAndAfterTheRebuild) {
  const int world_size = GetParam();
  testing::run_ranks(world_size, [&](Communicator& comm) {
    const auto parameters = make_parameters({3, 100, 7, 1, 5000});
    const std::shared_ptr<Communicator> shared(&comm, [](Communicator*) {});
    Reducer reducer(parameters, shared, {.first_bucket_cap_bytes = 64, .bucket_cap_bytes = 400});
    EXPECT_EQ(reducer.history().assignment.size(), 1U);
    for (int step = 0; step < 4; ++step) {
      drop_gradients(parameters);
      reducer.prepare_for_forward(/*synchronize=*/true);
      backward(parameters, 4.0 * world_size * (comm.rank() + 1));
      // The mean of 4 W (r + 1) over r is 2 W (W + 1).
      expect_gradients(parameters, 2.0 * world_size * (world_size + 1));
    }
    EXPECT_TRUE(reducer.history().rebuilt);
    // Arrival order 4, 3, 2, 1, 0: 20,000 bytes close the first bucket, then 4 + 28 + 400, then 12.
    const BucketAssignment expected = {{4}, {3, 2, 1}, {0}};
    EXPECT_EQ(reducer.history().assignment, expected);
    EXPECT_GT(reducer.times().buckets_started_in_backward,
              0);  // overlap: the first bucket does not wait for the last gradient
  });
}

// A gradient of 64 KiB and more is autograd's own tensor, small ones are copied; both with the buckets' bits.
TEST_P(ReducerTest, SharedMemoryGivesTheBitsOfTheBuckets) {
  const int world_size = GetParam();
  constexpr int kSteps = 4;
  const auto train = [&](std::vector<std::vector<at::Tensor>>& results, bool count_copies) {
    results.assign(static_cast<std::size_t>(world_size), {});
    const auto body = [&](Communicator& comm) {
      const auto parameters = make_parameters({30, 40000, 7, 20000, 1});
      const CommunicatorPtr shared(&comm, [](Communicator*) {});
      Reducer reducer(parameters, shared, {.first_bucket_cap_bytes = 64, .bucket_cap_bytes = 100000});
      auto generator = at::detail::createCPUGenerator(static_cast<std::uint64_t>(comm.rank()));
      for (int step = 0; step < kSteps; ++step) {
        if (step != 2) drop_gradients(parameters);  // once on top of the average before
        reducer.prepare_for_forward(true);
        at::Tensor loss = at::zeros({});
        for (const auto& [name, parameter] : parameters)
          loss = loss + (parameter.view({-1}) * at::randn({parameter.numel()}, generator)).sum();
        loss.backward();
        for (const auto& [name, parameter] : parameters)
          results[static_cast<std::size_t>(comm.rank())].push_back(parameter.grad().clone());
      }
      if (count_copies) {
        const auto& memory = dynamic_cast<SharedMemoryCommunicator&>(comm).memory();
        for (const auto& [name, parameter] : parameters)
          EXPECT_TRUE(memory->contains(parameter.grad().const_data_ptr(), 4)) << name;
      }
    };
    testing::run_ranks(world_size, body, std::chrono::seconds(20),
                       count_copies ? share_memory : std::function<CommunicatorPtr(CommunicatorPtr)>());
  };
  std::vector<std::vector<at::Tensor>> in_buckets;
  std::vector<std::vector<at::Tensor>> in_place;
  train(in_buckets, false);
  train(in_place, true);
  for (std::size_t rank = 0; rank < in_buckets.size(); ++rank) {
    for (std::size_t i = 0; i < in_buckets[rank].size(); ++i)
      EXPECT_TRUE(at::equal(in_buckets[rank][i], in_place[rank][i])) << "rank " << rank << ", " << i;
  }
}

TEST_P(ReducerTest, DeferredAveragesAreVisitedShardByShard) {
  const int world_size = GetParam();
  std::vector<at::Tensor> seen = {at::zeros({30}), at::zeros({40001})};
  std::mutex mutex;
  testing::run_ranks(
      world_size,
      [&](Communicator& comm) {
        const auto parameters = make_parameters({30, 40001});
        Reducer reducer(parameters, {&comm, [](Communicator*) {}});
        EXPECT_THROW(reducer.visit_shards({}), std::logic_error);
        EXPECT_THROW(reducer.gather_parameters(), std::logic_error);
        reducer.defer_averages(true);
        for (int step = 0; step < 3; ++step) {
          drop_gradients(parameters);
          reducer.prepare_for_forward(true);
          backward(parameters, 4.0 * world_size * (comm.rank() + 1));
          expect_gradients(parameters, 4.0 * world_size * (comm.rank() + 1));  // this rank's own
          reducer.visit_shards(
              [&](std::size_t shard, std::int64_t begin, const void* average, std::int64_t count) {
                const std::scoped_lock lock(mutex);
                seen[static_cast<std::size_t>(reducer.shards()[shard].parameter)]
                    .narrow(0, begin, count)
                    .add_(at::from_blob(const_cast<void*>(average), {count}));
              });
        }
        reducer.average_now();
        expect_gradients(parameters, 2.0 * world_size * (world_size + 1));
      },
      std::chrono::seconds(20), share_memory);
  // Each element once a step.
  for (std::size_t i = 0; i < seen.size(); ++i) {
    const double expected = 3.0 * 2.0 * world_size * (world_size + 1) * static_cast<double>(i + 1);
    EXPECT_TRUE(at::equal(seen[i], at::full_like(seen[i], expected)));
  }
}

INSTANTIATE_TEST_SUITE_P(WorldSizes, ReducerTest, ::testing::Values(1, 2, 3, 4));

// The averages of six ranks after each of four steps, of which ranks of `world_size` do some each, and the
// buckets.
struct SixRanks {
  std::vector<at::Tensor> averages;
  BucketAssignment buckets;
};

SixRanks average_six_ranks(int world_size, ReductionOrder order, bool shared_memory) {
  SixRanks result;
  const int logical_ranks = 6 / world_size;
  const auto make = [&](CommunicatorPtr base) -> CommunicatorPtr {
    return shared_memory ? share_memory_in(order, std::move(base)) : base;
  };
  const auto body = [&](Communicator& comm) {
    const auto parameters = make_parameters({30, 40000, 7, 20000, 1});
    ReducerOptions options{.first_bucket_cap_bytes = 64, .bucket_cap_bytes = 100000};
    options.logical_ranks = world_size == 6 ? 0 : logical_ranks;
    Reducer reducer(parameters, {&comm, [](Communicator*) {}}, options);
    for (int step = 0; step < 4; ++step) {
      drop_gradients(parameters);
      for (int l = 0; l < logical_ranks; ++l) {
        const int rank = comm.rank() * logical_ranks + l;
        auto generator = at::detail::createCPUGenerator(static_cast<std::uint64_t>(10 * step + rank));
        for (const bool synchronize : {false, true}) {  // two batches are accumulated
          reducer.prepare_for_forward(synchronize);
          at::Tensor loss = at::zeros({});
          for (const auto& [name, parameter] : parameters)
            loss = loss + (parameter.view({-1}) * at::randn({parameter.numel()}, generator)).sum();
          loss.backward();
        }
      }
      for (const auto& [name, parameter] : parameters) {
        if (comm.rank() == 0) result.averages.push_back(parameter.grad().clone());
      }
    }
    if (comm.rank() == 0) result.buckets = reducer.history().assignment;
  };
  if (shared_memory || order == ReductionOrder::kPytorch) {
    testing::run_ranks(world_size, body, std::chrono::seconds(20), make);
    return result;
  }
  std::vector<std::thread> threads;
  for (const CommunicatorPtr& comm : make_thread_communicators(world_size, std::chrono::seconds(20), order))
    threads.emplace_back([&body, comm] { body(*comm); });
  for (std::thread& thread : threads) thread.join();
  return result;
}

TEST(ReducerLogicalRanksTest, AveragesDoNotDependOnHowManyRanksTheyAreSpreadOver) {
  for (const ReductionOrder order : {ReductionOrder::kPytorch, ReductionOrder::kTree}) {
    const SixRanks expected = average_six_ranks(6, order, false);
    for (const int world_size : {1, 2, 3, 6}) {
      for (const bool shared_memory : {false, true}) {
        const SixRanks actual = average_six_ranks(world_size, order, shared_memory);
        EXPECT_EQ(actual.buckets, expected.buckets);
        ASSERT_EQ(actual.averages.size(), expected.averages.size());
        for (std::size_t i = 0; i < expected.averages.size(); ++i)
          EXPECT_TRUE(at::equal(actual.averages[i], expected.averages[i]))
              << world_size << " ranks, order " << static_cast<int>(order) << ", average " << i;
      }
    }
  }
}

TEST(ReducerLogicalRanksTest, RefusesWhatItCannotCombine) {
  testing::run_ranks(1, [](Communicator& comm) {
    const auto parameters = make_parameters({3});
    const auto make = [&](ReducerOptions options) {
      Reducer(parameters, {&comm, [](Communicator*) {}}, options);
    };
    EXPECT_THROW(make({.logical_ranks = -1}), std::invalid_argument);
    EXPECT_THROW(make({.find_unused_parameters = true, .logical_ranks = 2}), std::invalid_argument);
    EXPECT_THROW(make({.static_graph = true, .logical_ranks = 2}), std::invalid_argument);
    EXPECT_THROW(make({.hook = create_communication_hook("fp16"), .logical_ranks = 2}),
                 std::invalid_argument);
    Reducer reducer(parameters, {&comm, [](Communicator*) {}}, {.logical_ranks = 2});
    EXPECT_THROW(reducer.begin_join(), std::logic_error);
  });
}

TEST(ReducerTest, GradientsAreViewsIntoTheBucket) {
  testing::run_ranks(2, [](Communicator& comm) {
    const auto parameters = make_parameters({3, 4});
    Reducer reducer(parameters, {&comm, [](Communicator*) {}});
    reducer.prepare_for_forward(true);
    backward(parameters, 1.0);
    EXPECT_TRUE(parameters[0].second.grad().is_alias_of(parameters[1].second.grad()));
  });
}

TEST(ReducerTest, MultipliesByTheReciprocalBeforeTheSumAsPyTorchDoes) {
  testing::run_ranks(3, [](Communicator& comm) {
    const auto parameters = make_parameters({1});
    Reducer reducer(parameters, {&comm, [](Communicator*) {}});
    reducer.prepare_for_forward(true);
    const float values[3] = {0.1F, 0.7F, 1.3F};
    (parameters[0].second * values[comm.rank()]).sum().backward();
    const float third = static_cast<float>(1.0 / 3.0);
    // One element is chunk 0, summed over ranks 2, 1, 0.
    const float expected = (values[2] * third + values[1] * third) + values[0] * third;
    EXPECT_EQ(parameters[0].second.grad().item<float>(), expected);
  });
}

TEST(ReducerTest, WithoutSynchronisationGradientsAccumulateLocally) {
  testing::run_ranks(2, [](Communicator& comm) {
    const auto parameters = make_parameters({2, 2});
    Reducer reducer(parameters, {&comm, [](Communicator*) {}});
    for (int step = 0; step < 3; ++step) {
      drop_gradients(parameters);
      const auto sent = comm.bytes_sent();
      reducer.prepare_for_forward(false);
      backward(parameters, comm.rank() + 1.0);
      expect_gradients(parameters, comm.rank() + 1.0);
      if (step == 0) {
        EXPECT_EQ(comm.bytes_sent(), sent);
      }
      reducer.prepare_for_forward(true);
      backward(parameters, comm.rank() + 1.0);
      expect_gradients(parameters, 3.0);  // mean of 2 and 4
    }
  });
}

TEST(ReducerTest, AZeroedGradientThatStayedInItsBucketWorksToo) {
  testing::run_ranks(2, [](Communicator& comm) {
    const auto parameters = make_parameters({3, 4});
    Reducer reducer(parameters, {&comm, [](Communicator*) {}});
    for (int step = 0; step < 3; ++step) {
      for (const auto& [name, parameter] : parameters) {
        if (parameter.grad().defined()) parameter.mutable_grad().zero_();
      }
      reducer.prepare_for_forward(true);
      backward(parameters, comm.rank() + 1.0);
      expect_gradients(parameters, 1.5);
    }
  });
}

TEST(ReducerTest, HistoryMovesIntoAnotherReducer) {
  testing::run_ranks(2, [](Communicator& comm) {
    const auto parameters = make_parameters({3, 100});
    const BucketHistory history = {{{1}, {0}}, true};
    Reducer reducer(parameters, {&comm, [](Communicator*) {}});
    reducer.load_history(history);
    reducer.prepare_for_forward(true);
    backward(parameters, 2.0);
    expect_gradients(parameters, 2.0);
    EXPECT_EQ(reducer.history().assignment, history.assignment);
    EXPECT_TRUE(reducer.history().rebuilt);
    EXPECT_THROW(reducer.load_history({{{0}}, true}), std::invalid_argument);
    EXPECT_THROW(reducer.load_history({{{0, 1}, {1}}, true}), std::invalid_argument);
    EXPECT_THROW(reducer.load_history({{{0, 1}, {}}, true}), std::invalid_argument);
  });
}

TEST(ReducerTest, HistoryAfterTheFirstPassIsThatOfTheNextOne) {
  testing::run_ranks(3, [](Communicator& comm) {
    const auto parameters = make_parameters({3, 100, 7, 1, 5000});
    const ReducerOptions options = {.first_bucket_cap_bytes = 64, .bucket_cap_bytes = 400};
    Reducer reducer(parameters, {&comm, [](Communicator*) {}}, options);
    EXPECT_FALSE(reducer.history().rebuilt);
    reducer.prepare_for_forward(true);
    backward(parameters, 1.0);
    const BucketHistory saved = reducer.history();  // a checkpoint after step 1
    reducer.prepare_for_forward(true);
    EXPECT_EQ(saved.assignment, reducer.history().assignment);
    EXPECT_TRUE(saved.rebuilt);
  });
}

// Bucket {1} is under way when p0 turns out to be missing.
struct PassThatFailedHalfWay {
  explicit PassThatFailedHalfWay(Communicator& comm)
      : reducer(parameters, {&comm, [](Communicator*) {}},
                {.first_bucket_cap_bytes = 4, .bucket_cap_bytes = 4}) {
    reducer.load_history({{{1}, {0}}, true});
    reducer.prepare_for_forward(true);
    EXPECT_ANY_THROW(parameters[1].second.sum().backward());
  }

  NamedParameters parameters = make_parameters({3, 4});
  Reducer reducer;
};

TEST(ReducerFaultTest, ABackwardPassThatFailedHalfWayEndsTheCommunicator) {
  testing::run_ranks(2, [](Communicator& comm) {
    PassThatFailedHalfWay failed(comm);
    EXPECT_THROW(failed.reducer.prepare_for_forward(true), CommError);
    EXPECT_THROW(comm.barrier(), CommError);
  });
}

// What a capture that failed has begun was recorded, not done, so that all ranks can go on.
TEST(ReducerFaultTest, APassThatIsForgottenLeavesNothingUnderWay) {
  testing::run_ranks(2, [](Communicator& comm) {
    PassThatFailedHalfWay failed(comm);
    failed.reducer.forget_pass();
    comm.barrier();  // behind the sum that this communicator did not record but did
    drop_gradients(failed.parameters);
    failed.reducer.prepare_for_forward(true);
    backward(failed.parameters, 3.0);
    expect_gradients(failed.parameters, 3.0);
  });
}

TEST(ReducerTest, IsSettledOnceTheBucketsAreRebuilt) {
  testing::run_ranks(2, [](Communicator& comm) {
    const auto parameters = make_parameters({3, 100});
    Reducer reducer(parameters, {&comm, [](Communicator*) {}});
    reducer.prepare_for_forward(true);
    backward(parameters, 1.0);
    EXPECT_FALSE(reducer.is_settled()) << "they are in the next forward pass";
    drop_gradients(parameters);
    reducer.prepare_for_forward(true);
    EXPECT_TRUE(reducer.is_settled());
    backward(parameters, 1.0);
    const auto others = make_parameters({3, 100});
    const Reducer looking(others, {&comm, [](Communicator*) {}}, {.find_unused_parameters = true});
    EXPECT_TRUE(looking.is_settled()) << "they never are";
  });
}

TEST(ReducerFaultTest, ASecondBackwardPassNeedsAForwardPass) {
  testing::run_ranks(2, [](Communicator& comm) {
    const auto parameters = make_parameters({3});
    Reducer reducer(parameters, {&comm, [](Communicator*) {}});
    reducer.prepare_for_forward(true);
    const at::Tensor loss = parameters[0].second.square().sum();
    loss.backward({}, /*retain_graph=*/true);
    EXPECT_THAT([&] { loss.backward(); }, ::testing::ThrowsMessage<std::runtime_error>(
                                              HasSubstr("second time after one forward pass")));
    reducer.prepare_for_forward(false);
    parameters[0].second.square().sum().backward();  // accumulating needs nothing
    parameters[0].second.square().sum().backward();
  });
}

TEST(ReducerTest, ChoosesBucketCapsFromWhatItMeasures) {
  testing::run_ranks(2, [](Communicator& comm) {
    const auto parameters = make_parameters({300'000, 7, 400'000});
    Reducer reducer(parameters, {&comm, [](Communicator*) {}}, {.choose_bucket_caps = true});
    std::optional<std::string> remark;
    for (int step = 0; step < 5; ++step) {
      drop_gradients(parameters);
      reducer.prepare_for_forward(true);
      backward(parameters, comm.rank() + 1.0);
      expect_gradients(parameters, 1.5);
      if (!remark) remark = reducer.take_remark();
      EXPECT_EQ(reducer.history().rebuilt, step >= 3);  // three passes are measured
    }
    ASSERT_TRUE(remark);
    EXPECT_THAT(*remark, HasSubstr("bucket caps"));
    EXPECT_THAT(*remark, HasSubstr("GB/s"));
    EXPECT_FALSE(reducer.take_remark());
    std::size_t named = 0;
    for (const auto& bucket : reducer.history().assignment) named += bucket.size();
    EXPECT_EQ(named, 3U);
  });
}

TEST(ReducerTest, TracesReadinessReductionAndWaitOfEachBucket) {
  testing::run_ranks(2, [](Communicator& comm) {
    const auto parameters = make_parameters({3, 4});
    Reducer reducer(parameters, {&comm, [](Communicator*) {}});
    reducer.load_history({{{1}, {0}}, true});
    TraceRecorder recorder;
    for (const bool traced : {true, false}) {
      reducer.set_trace(traced ? &recorder : nullptr);
      reducer.prepare_for_forward(true);
      const std::int64_t begin_ns = TraceRecorder::now_ns();
      backward(parameters, 1.0);
      const std::int64_t end_ns = TraceRecorder::now_ns();
      int ready = 0, reductions = 0, waits = 0;
      for (const TraceEvent& event : recorder.take()) {
        EXPECT_GE(event.begin_ns, begin_ns);
        EXPECT_LE(event.begin_ns + std::max(event.duration_ns, std::int64_t{0}), end_ns);
        if (event.name == "ready") {
          ++ready;
          EXPECT_EQ(event.line, ready);  // bucket by bucket
        } else if (event.name == "reduction") {
          ++reductions;
          EXPECT_EQ(event.line, reductions);
          EXPECT_EQ(event.bytes, event.line == 1 ? 16 : 12);
        } else {
          EXPECT_EQ(event.name, waits++ == 0 ? "wait for bucket 0" : "wait for bucket 1");
          EXPECT_EQ(event.line, 0);
        }
      }
      EXPECT_EQ(ready, traced ? 2 : 0);
      EXPECT_EQ(reductions, traced ? 2 : 0);
      EXPECT_EQ(waits, traced ? 2 : 0);
    }
  });
}

TEST(ReducerFaultTest, AParameterWithoutAGradientIsNamed) {
  testing::run_ranks(2, [](Communicator& comm) {
    const auto parameters = make_parameters({3, 4});
    Reducer reducer(parameters, {&comm, [](Communicator*) {}});
    reducer.prepare_for_forward(true);
    try {
      parameters[0].second.sum().backward();
      ADD_FAILURE() << "p1 had no gradient, and nobody said so";
    } catch (const std::exception& error) {
      EXPECT_THAT(error.what(), HasSubstr("p1"));
    }
  });
}

TEST(ReducerFaultTest, RefusesWhatItCannotReduce) {
  testing::run_ranks(1, [](Communicator& comm) {
    const std::shared_ptr<Communicator> shared(&comm, [](Communicator*) {});
    EXPECT_THROW(Reducer({}, shared), std::invalid_argument);
    EXPECT_THROW(Reducer({{"frozen", at::ones({1})}}, shared), std::invalid_argument);
    const at::Tensor twice = at::ones({1}).requires_grad_();
    EXPECT_THROW(Reducer({{"a", twice}, {"b", twice}}, shared), std::invalid_argument);
    EXPECT_THROW(Reducer({{"a", twice}}, shared, {.bucket_cap_bytes = 0}), std::invalid_argument);
  });
}

TEST(ReducerFaultTest, AHookOutlivesItsReducer) {
  const auto parameters = make_parameters({3});
  testing::run_ranks(1, [&](Communicator& comm) {
    {
      Reducer reducer(parameters, {&comm, [](Communicator*) {}});
    }
    backward(parameters, 2.0);
    expect_gradients(parameters, 2.0);
  });
}

}  // namespace
}  // namespace lockstep

// What becomes of parameters that take no part in a backward pass. Gradients follow from arithmetic.
#include "comm/used_parameters.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "comm/reducer.h"
#include "tests/comm/rank_threads.h"

namespace lockstep {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

using NamedParameters = std::vector<std::pair<std::string, at::Tensor>>;

NamedParameters make_parameters(int count) {
  NamedParameters parameters;
  for (int i = 0; i < count; ++i)
    parameters.emplace_back("p" + std::to_string(i), at::ones({2}).requires_grad_());
  return parameters;
}

void backward(const NamedParameters& parameters, const std::vector<std::size_t>& used, double scale) {
  at::Tensor loss = at::zeros({});
  for (const std::size_t i : used) loss = loss + parameters[i].second.sum() * scale;
  loss.backward();
}

void drop_gradients(const NamedParameters& parameters) {
  for (const auto& [name, parameter] : parameters) parameter.mutable_grad().reset();
}

bool all_are(const at::Tensor& gradient, double value) {
  return gradient.defined() && at::equal(gradient, at::full_like(gradient, value));
}

TEST(UsedParameters, AreThoseOfAllRanksSinceTheLastExchange) {
  testing::run_ranks(3, [](Communicator& comm) {
    UsedParameters used(4);
    used.mark(static_cast<std::size_t>(comm.rank()));
    used.begin_exchange(comm);
    used.wait();
    for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(used.anywhere(i), i < 3);
    used.begin_exchange(comm);
    used.wait();
    for (std::size_t i = 0; i < 4; ++i) EXPECT_FALSE(used.anywhere(i));
  });
}

TEST(FindUnusedParameters, CountAsZerosUnlessNoRankUsesThem) {
  testing::run_ranks(2, [](Communicator& comm) {
    const auto parameters = make_parameters(4);
    Reducer reducer(parameters, {&comm, [](Communicator*) {}}, {.find_unused_parameters = true});
    for (int step = 0; step < 3; ++step) {
      drop_gradients(parameters);
      reducer.prepare_for_forward(true);
      // Both use p0; p1 and p2 are one rank's; p3 is nobody's.
      backward(parameters, {0, comm.rank() == 0 ? 1U : 2U}, 4.0);
      EXPECT_TRUE(all_are(parameters[0].second.grad(), 4.0));
      EXPECT_TRUE(all_are(parameters[1].second.grad(), 2.0));
      EXPECT_TRUE(all_are(parameters[2].second.grad(), 2.0));
      EXPECT_FALSE(parameters[3].second.grad().defined());
    }
    EXPECT_FALSE(reducer.history().rebuilt);
  });
}

TEST(FindUnusedParameters, AGradientThatNoRankTouchedStaysAsItIs) {
  testing::run_ranks(3, [](Communicator& comm) {
    const auto parameters = make_parameters(2);
    Reducer reducer(parameters, {&comm, [](Communicator*) {}}, {.find_unused_parameters = true});
    reducer.prepare_for_forward(true);
    backward(parameters, {0, 1}, 0.1);
    const at::Tensor before = parameters[1].second.grad().clone();
    for (int step = 0; step < 3; ++step) {
      reducer.prepare_for_forward(true);
      backward(parameters, {0}, 0.1);
      EXPECT_TRUE(
          at::equal(parameters[1].second.grad(), before));  // a third of it three times has other bits
    }
  });
}

TEST(FindUnusedParameters, APassWithoutSynchronisationCounts) {
  testing::run_ranks(2, [](Communicator& comm) {
    const auto parameters = make_parameters(2);
    Reducer reducer(parameters, {&comm, [](Communicator*) {}}, {.find_unused_parameters = true});
    reducer.prepare_for_forward(false);
    if (comm.rank() == 0) backward(parameters, {1}, 6.0);
    reducer.prepare_for_forward(true);
    backward(parameters, {0}, 1.0);
    EXPECT_TRUE(all_are(parameters[1].second.grad(), 3.0));  // of 6 and nothing
  });
}

TEST(StaticGraph, LearnsInTheFirstPass) {
  testing::run_ranks(2, [](Communicator& comm) {
    const auto parameters = make_parameters(4);
    Reducer reducer(parameters, {&comm, [](Communicator*) {}},
                    {.first_bucket_cap_bytes = 1, .bucket_cap_bytes = 1, .static_graph = true});
    for (int step = 0; step < 3; ++step) {
      drop_gradients(parameters);
      reducer.prepare_for_forward(true);
      backward(parameters, {0, comm.rank() == 0 ? 1U : 2U}, 4.0);
      EXPECT_TRUE(all_are(parameters[0].second.grad(), 4.0));
      EXPECT_TRUE(all_are(parameters[1].second.grad(), 2.0));
      EXPECT_TRUE(all_are(parameters[2].second.grad(), 2.0));
      EXPECT_FALSE(parameters[3].second.grad().defined());
    }
    EXPECT_TRUE(reducer.history().rebuilt);
  });
}

TEST(StaticGraph, APassThatDiffersIsRefusedByName) {
  testing::run_ranks(1, [](Communicator& comm) {
    const auto parameters = make_parameters(3);
    Reducer reducer(parameters, {&comm, [](Communicator*) {}}, {.static_graph = true});
    reducer.prepare_for_forward(true);
    backward(parameters, {0, 1}, 1.0);
    reducer.prepare_for_forward(true);
    EXPECT_THAT([&] { backward(parameters, {0}, 1.0); },
                ThrowsMessage<std::runtime_error>(AllOf(HasSubstr("no gradient to p1"), HasSubstr("static"),
                                                        HasSubstr("find_unused_parameters"))));
  });
  testing::run_ranks(1, [](Communicator& comm) {
    const auto parameters = make_parameters(3);
    Reducer reducer(parameters, {&comm, [](Communicator*) {}}, {.static_graph = true});
    reducer.prepare_for_forward(true);
    backward(parameters, {0, 1}, 1.0);
    reducer.prepare_for_forward(true);
    EXPECT_THAT(
        [&] {
          backward(parameters, {0, 1, 2}, 1.0);
        },
        ThrowsMessage<std::runtime_error>(AllOf(HasSubstr("p2 got a gradient"), HasSubstr("static"))));
  });
}

TEST(UnusedParameters, AreRefusedByDefaultWithTheOptionThatAllowsThem) {
  testing::run_ranks(1, [](Communicator& comm) {
    const auto parameters = make_parameters(3);
    Reducer reducer(parameters, {&comm, [](Communicator*) {}});
    reducer.prepare_for_forward(true);
    EXPECT_THAT([&] { backward(parameters, {1}, 1.0); },
                ThrowsMessage<std::runtime_error>(
                    AllOf(HasSubstr("no gradient to p0, p2"), HasSubstr("find_unused_parameters"))));
  });
}

TEST(UnusedParameters, OptionsThatContradictEachOtherAreRefused) {
  testing::run_ranks(1, [](Communicator& comm) {
    const auto make = [&](ReducerOptions options) {
      Reducer reducer(make_parameters(1), {&comm, [](Communicator*) {}}, options);
    };
    EXPECT_THROW(make({.find_unused_parameters = true, .static_graph = true}), std::invalid_argument);
    EXPECT_THROW(make({.choose_bucket_caps = true, .find_unused_parameters = true}), std::invalid_argument);
  });
}

}  // namespace
}  // namespace lockstep

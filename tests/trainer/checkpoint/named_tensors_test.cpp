#include "trainer/checkpoint/named_tensors.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "sampler/data_error.h"

namespace lockstep {
namespace {

NamedTensors target() {
  return {{"weight", at::zeros({2, 3}).requires_grad_()},
          {"bias", at::zeros({3})},
          {"count", at::zeros({}, at::kLong)}};
}

TEST(LoadInto, CopiesByNameInPlace) {
  const NamedTensors into = target();
  const void* memory = into[0].second.const_data_ptr();
  load_into({{"count", at::ones({}, at::kLong)},
             {"weight", at::arange(6, at::kFloat).reshape({3, 2}).t()},
             {"bias", at::ones({3})}},
            into, "model.safetensors", "choose the right one");
  EXPECT_EQ(into[0].second.const_data_ptr(), memory);
  EXPECT_TRUE(into[0].second.equal(at::arange(6, at::kFloat).reshape({3, 2}).t()));
  EXPECT_TRUE(into[1].second.equal(at::ones({3})));
  EXPECT_EQ(into[2].second.item<std::int64_t>(), 1);
}

TEST(LoadInto, StripsThePrefixOfPythonsDdp) {
  const NamedTensors into = target();
  load_into({{"module.weight", at::ones({2, 3})},
             {"module.bias", at::ones({3})},
             {"module.count", at::ones({}, at::kLong)}},
            into, "x", "");
  EXPECT_TRUE(into[1].second.equal(at::ones({3})));
  const NamedTensors wrapped{{"module.weight", at::zeros({1})}};  // a model whose own names start so
  load_into({{"module.weight", at::ones({1})}}, wrapped, "x", "");
  EXPECT_TRUE(wrapped[0].second.equal(at::ones({1})));
}

TEST(LoadInto, NamesEverythingThatDoesNotFitAndCopiesNothing) {
  const NamedTensors into = target();
  try {
    load_into({{"bias", at::ones({4})},
               {"count", at::ones({}, at::kFloat)},
               {"head", at::ones({1})},
               {"head", at::ones({1})},
               {"tail", at::ones({1})}},
              into, "model.safetensors", "choose the right one");
    FAIL() << "accepted";
  } catch (const DataError& error) {
    EXPECT_STREQ(
        error.what(),
        "model.safetensors does not hold this model's state; missing: weight; not in the model: head, tail; "
        "given twice: head; different: bias is Float[4] where the model has Float[3], count is Float[] where "
        "the model has Long[]; choose the right one");
  }
  EXPECT_TRUE(into[1].second.equal(at::zeros({3})));
  const NamedTensors fitting_in_part{{"bias", at::ones({3})}};
  EXPECT_THROW(load_into(fitting_in_part, into, "x", ""), DataError);
  EXPECT_TRUE(into[1].second.equal(at::zeros({3})));
}

TEST(LoadInto, NamesWhatIsOnlyMisspelt) {
  const NamedTensors into{
      {"net.0.weight", at::zeros({2})}, {"net.0.bias", at::zeros({3})}, {"head", at::zeros({2})}};
  try {
    load_into({{"net.0.wieght", at::ones({2})}, {"net.1.bias", at::ones({3})}, {"tail", at::ones({4})}}, into,
              "x", "look");
    FAIL() << "accepted";
  } catch (const DataError& error) {
    EXPECT_STREQ(error.what(),
                 "x does not hold this model's state; missing: head; not in the model: tail; misnamed: "
                 "net.1.bias for net.0.bias, net.0.wieght for net.0.weight; look");
  }
}

}  // namespace
}  // namespace lockstep

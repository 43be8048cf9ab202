#include "comm/read_watch.h"

#include <ATen/ATen.h>
#include <ATen/ThreadLocalState.h>
#include <ATen/record_function.h>
#include <gtest/gtest.h>

#include <thread>

namespace lockstep {
namespace {

class Listener final : public ReadListener {
 public:
  explicit Listener(const at::Tensor& tensor) : storage_(tensor.storage().unsafeGetStorageImpl()) {}
  bool listens() const override { return wants_; }
  void before_read(const c10::StorageImpl* storage) noexcept override {
    if (storage == storage_) ++heard_;
  }
  int take_heard() { return std::exchange(heard_, 0); }
  void stop() { wants_ = false; }

 private:
  const c10::StorageImpl* storage_;
  int heard_ = 0;
  bool wants_ = true;
};

TEST(ReadWatch, HearsOfEachTensorThatAnOperationTakes) {
  const at::Tensor heard = at::ones({4, 4});
  const at::Tensor other = at::ones({4, 4});
  const auto listener = std::make_shared<Listener>(heard);
  watch_reads(listener);
  EXPECT_TRUE(at::equal(other + other, at::full({4, 4}, 2.0)));
  EXPECT_EQ(listener->take_heard(), 0);
  const at::Tensor sum = other + heard;
  EXPECT_EQ(listener->take_heard(), 1);
  const at::Tensor row = heard[1];
  EXPECT_GT(listener->take_heard(), 0);
  const at::Tensor of_a_view = row.neg();
  EXPECT_EQ(listener->take_heard(), 1);
  const at::Tensor of_a_list = at::cat({other, heard});
  EXPECT_EQ(listener->take_heard(), 1);
  const at::Tensor bias = heard[0];
  EXPECT_GT(listener->take_heard(), 0);
  const at::Tensor of_an_optional = at::linear(other, other, bias);
  EXPECT_GT(listener->take_heard(), 0);
  listener->stop();
}

TEST(ReadWatch, HearsOfIndices) {
  const at::Tensor indices = at::ones({2}, at::kLong);
  const auto listener = std::make_shared<Listener>(indices);
  const at::Tensor other = at::arange(4);
  watch_reads(listener);
  EXPECT_TRUE(at::equal(at::index(other, {indices}), at::ones({2}, at::kLong)));
  EXPECT_GT(listener->take_heard(), 0);
  listener->stop();
  const at::Tensor last = other.neg();
}

bool is_watched() {
  return at::getStepCallbacksUnlessEmpty(at::RecordScope::FUNCTION).has_value();
}

TEST(ReadWatch, EndsWithTheListener) {
  const at::Tensor tensor = at::ones({2});
  ASSERT_FALSE(is_watched());
  auto listener = std::make_shared<Listener>(tensor);
  watch_reads(listener);
  watch_reads(listener);  // the same, once
  EXPECT_TRUE(is_watched());
  const at::Tensor once = tensor.neg();
  EXPECT_EQ(listener->take_heard(), 1);
  auto second = std::make_shared<Listener>(tensor);
  watch_reads(second);
  listener->stop();
  const at::Tensor twice = tensor.neg();  // the last that it hears of
  listener->take_heard();
  const at::Tensor thrice = tensor.neg();
  EXPECT_EQ(listener->take_heard(), 0);
  EXPECT_EQ(second->take_heard(), 2);
  EXPECT_TRUE(is_watched());
  second.reset();
  const at::Tensor after = tensor.neg();
  EXPECT_FALSE(is_watched());
}

TEST(ReadWatch, HearsOfItsOwnThreadOnly) {
  const at::Tensor tensor = at::ones({2});
  const auto listener = std::make_shared<Listener>(tensor);
  watch_reads(listener);
  std::thread([&] { tensor.neg(); }).join();
  EXPECT_EQ(listener->take_heard(), 0);
  tensor.neg();
  EXPECT_EQ(listener->take_heard(), 1);
  listener->stop();
  tensor.neg();
}

// Autograd's threads work with the state of the one that called backward().
TEST(ReadWatch, AThreadThatTakesOverTheStateHearsNothing) {
  const at::Tensor tensor = at::ones({2});
  const auto listener = std::make_shared<Listener>(tensor);
  watch_reads(listener);
  const at::ThreadLocalState state;
  std::thread([&] {
    const at::ThreadLocalStateGuard guard(state);
    EXPECT_TRUE(is_watched());
    tensor.neg();
  }).join();
  EXPECT_EQ(listener->take_heard(), 0);
  listener->stop();
  tensor.neg();
  EXPECT_FALSE(is_watched());
}

// Each node of a backward pass ends by restoring the state that was there before it.
TEST(ReadWatch, EndsOnceMoreWhereAGuardHasUndoneIt) {
  const at::Tensor tensor = at::ones({2});
  const auto listener = std::make_shared<Listener>(tensor);
  watch_reads(listener);
  {
    const at::ThreadLocalStateGuard guard{at::ThreadLocalState()};
    listener->stop();
    tensor.neg();
    EXPECT_FALSE(is_watched());
  }
  EXPECT_TRUE(is_watched());
  tensor.neg();
  EXPECT_FALSE(is_watched());
  const auto second = std::make_shared<Listener>(tensor);
  watch_reads(second);
  tensor.neg();
  EXPECT_EQ(second->take_heard(), 1);
  second->stop();
  tensor.neg();
}

}  // namespace
}  // namespace lockstep

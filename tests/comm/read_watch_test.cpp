#include "comm/read_watch.h"

#include <ATen/ATen.h>
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
  const at::Tensor of_an_optional = at::linear(other, other, heard[0]);
  EXPECT_GT(listener->take_heard(), 0);
  const c10::List<std::optional<at::Tensor>> indices({heard.to(at::kLong)});
  EXPECT_GT(listener->take_heard(), 0);
  listener->stop();
}

TEST(ReadWatch, EndsWithTheListener) {
  const at::Tensor tensor = at::ones({2});
  ASSERT_FALSE(at::hasThreadLocalCallbacks());
  auto listener = std::make_shared<Listener>(tensor);
  watch_reads(listener);
  watch_reads(listener);  // the same, once
  EXPECT_TRUE(at::hasThreadLocalCallbacks());
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
  EXPECT_TRUE(at::hasThreadLocalCallbacks());
  second.reset();
  const at::Tensor after = tensor.neg();
  EXPECT_FALSE(at::hasThreadLocalCallbacks());
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

}  // namespace
}  // namespace lockstep

#include "comm/read_watch.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>
#include <ATen/record_function.h>

#include <optional>
#include <utility>
#include <vector>

namespace lockstep {
namespace {

struct Watch {
  std::vector<std::weak_ptr<ReadListener>> listeners;
  std::optional<at::CallbackHandle> callback;
};
thread_local Watch watch;

void tell_of(const at::Tensor& tensor) {
  if (!tensor.defined() || !tensor.has_storage()) return;
  const c10::StorageImpl* storage = tensor.storage().unsafeGetStorageImpl();
  for (const auto& weak : watch.listeners) {
    if (const auto listener = weak.lock()) listener->before_read(storage);
  }
}

void tell_of(const c10::IValue& value) {
  if (value.isTensor()) {
    tell_of(value.toTensor());
  } else if (value.isList()) {
    for (const c10::IValue& element : value.toListRef()) tell_of(element);
  }
}

// An operation under way keeps the observers that it began with.
void stop_where_nobody_listens() {
  std::erase_if(watch.listeners, [](const std::weak_ptr<ReadListener>& weak) {
    const auto listener = weak.lock();
    return !listener || !listener->listens();
  });
  if (watch.listeners.empty()) at::removeCallback(*std::exchange(watch.callback, std::nullopt));
}

std::unique_ptr<at::ObserverContext> before_operation(const at::RecordFunction& operation) {
  const at::RecordFunctionGuard what_listeners_do_is_not_heard(false);
  for (const c10::IValue& input : operation.inputs()) tell_of(input);
  stop_where_nobody_listens();
  return nullptr;
}

}  // namespace

void watch_reads(std::weak_ptr<ReadListener> listener) {
  std::erase_if(watch.listeners, [&](const std::weak_ptr<ReadListener>& other) {
    return !other.owner_before(listener) && !listener.owner_before(other);
  });
  watch.listeners.push_back(std::move(listener));
  if (watch.callback) return;
  watch.callback = at::addThreadLocalCallback(
      at::RecordFunctionCallback(before_operation).needsInputs(true).scopes({at::RecordScope::FUNCTION}));
}

}  // namespace lockstep

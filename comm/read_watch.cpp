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
  std::optional<at::CallbackHandle> callback;  // made once, and enabled while somebody listens
  bool is_telling = false;                     // what listeners do is not told to them
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

// Autograd's threads have our callback from the one that called backward(), but no handle of it.
void stop_where_nobody_listens() {
  std::erase_if(watch.listeners, [](const std::weak_ptr<ReadListener>& weak) {
    const auto listener = weak.lock();
    return !listener || !listener->listens();
  });
  if (watch.listeners.empty() && watch.callback) at::disableCallback(*watch.callback);
}

std::unique_ptr<at::ObserverContext> before_operation(const at::RecordFunction& operation) {
  if (watch.is_telling) return nullptr;
  watch.is_telling = true;
  for (const c10::IValue& input : operation.inputs()) tell_of(input);
  watch.is_telling = false;
  stop_where_nobody_listens();
  return nullptr;
}

}  // namespace

void watch_reads(std::weak_ptr<ReadListener> listener) {
  std::erase_if(watch.listeners, [&](const std::weak_ptr<ReadListener>& other) {
    return !other.owner_before(listener) && !listener.owner_before(other);
  });
  watch.listeners.push_back(std::move(listener));
  if (watch.callback) return at::reenableCallback(*watch.callback);
  watch.callback = at::addThreadLocalCallback(
      at::RecordFunctionCallback(before_operation).needsInputs(true).scopes({at::RecordScope::FUNCTION}));
}

}  // namespace lockstep

// The pickle in train_state.pt and in Python's checkpoints. Its storages have at most 4096 elements.
#include <ATen/ops/zeros.h>

#include <string_view>

#include "sampler/data_error.h"
#include "tests/fuzz/harness.h"
#include "trainer/checkpoint/pickle_reader.h"

namespace {

// Reads every element, so that a view beyond its storage is seen.
void visit(const c10::IValue& value) {
  if (value.isTensor()) {
    static_cast<void>(value.toTensor().contiguous());
  } else if (value.isGenericDict()) {
    for (const auto& item : value.toGenericDict()) visit(item.value());
  } else if (value.isList()) {
    for (const c10::IValue& element : value.toListRef()) visit(element);
  } else if (value.isTuple()) {
    for (const c10::IValue& element : value.toTupleRef().elements()) visit(element);
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    visit(lockstep::read_pickle({reinterpret_cast<const char*>(data), size},
                                [](const std::string&, at::ScalarType type, std::int64_t numel) {
                                  if (numel > 4096) throw lockstep::DataError("too many elements");
                                  return at::zeros({numel}, at::TensorOptions().dtype(type));
                                }));
  } catch (const lockstep::DataError&) {
    return 0;
  }
  return 0;
}

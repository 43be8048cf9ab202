#include "trainer/checkpoint/container_copy.h"

#include <ATen/core/Dict.h>
#include <ATen/core/List.h>
#include <ATen/core/jit_type.h>

#include <algorithm>
#include <utility>
#include <vector>

namespace lockstep {

ContainerCopy copy_containers(const c10::IValue& value, std::int64_t& budget) {
  --budget;
  ContainerCopy copy{value, 0};
  const auto inner = [&](const c10::IValue& element) {
    ContainerCopy part = copy_containers(element, budget);
    copy.depth = std::max(copy.depth, part.depth + 1);
    return std::move(part.value);
  };
  if (value.isGenericDict()) {
    c10::impl::GenericDict dict(c10::AnyType::get(), c10::AnyType::get());
    for (const auto& item : value.toGenericDict()) {
      if (budget <= 0) break;
      dict.insert(item.key(), inner(item.value()));
    }
    copy.value = dict;
  } else if (value.isList()) {
    c10::impl::GenericList list(c10::AnyType::get());
    for (const c10::IValue& element : value.toListRef()) {
      if (budget <= 0) break;
      list.push_back(inner(element));
    }
    copy.value = list;
  } else if (value.isTuple()) {
    std::vector<c10::IValue> elements;
    for (const c10::IValue& element : value.toTupleRef().elements()) {
      if (budget <= 0) break;
      elements.push_back(inner(element));
    }
    copy.value = c10::ivalue::Tuple::create(std::move(elements));
  }
  return copy;
}

}  // namespace lockstep

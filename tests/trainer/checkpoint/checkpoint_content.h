// The tensors and the training state of tests/reference/checkpoint_formats.py, made in C++.
#pragma once

#include <ATen/core/Dict.h>
#include <ATen/core/List.h>
#include <ATen/core/jit_type.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>

#include <limits>

#include "trainer/checkpoint/named_tensors.h"

namespace lockstep {

inline NamedTensors content_tensors() {
  const at::Tensor numbers = at::arange(15).remainder(7).reshape({3, 5});
  return {{"float64", numbers.to(at::kDouble)},
          {"float32", numbers.to(at::kFloat)},
          {"float16", numbers.to(at::kHalf)},
          {"bfloat16", numbers.to(at::kBFloat16)},
          {"int64", numbers.clone()},
          {"int32", numbers.to(at::kInt)},
          {"int16", numbers.to(at::kShort)},
          {"int8", numbers.to(at::kChar)},
          {"uint8", numbers.to(at::kByte)},
          {"bool", numbers.to(at::kBool)},
          {"scalar", at::full({}, 2.5, at::kFloat)},
          {"empty", at::zeros({0, 3})},
          {"a strange/n\xc3\xa4me\n\"quoted\"", at::arange(3).to(at::kChar)}};
}

using AnyDict = c10::impl::GenericDict;
using AnyList = c10::impl::GenericList;
inline AnyDict any_dict() {
  return AnyDict(c10::AnyType::get(), c10::AnyType::get());
}

inline AnyDict content_state() {
  AnyDict state = any_dict();
  state.insert("epoch", 3);
  state.insert("negative", -70000);
  state.insert("big", (std::int64_t{1} << 40) + 1);
  state.insert("smallest", std::numeric_limits<std::int64_t>::min());
  state.insert("lr", 0.1);
  state.insert("done", true);
  state.insert("failed", false);
  state.insert("nothing", c10::IValue());
  state.insert("name", "r\xc3\xa9sum\xc3\xa9");
  AnyList list(c10::AnyType::get());
  list.push_back(1);
  list.push_back(2.5);
  list.push_back("x");
  list.push_back(AnyList(c10::AnyType::get()));
  list.push_back(any_dict());
  state.insert("list", list);
  state.insert("ints", c10::List<std::int64_t>({1, 2, 300}));  // a typed list is saved as any other
  c10::Dict<std::string, at::Tensor> moments;                  // and so is a typed dict
  moments.insert("step", at::full({}, 5.0, at::kFloat));
  moments.insert("exp_avg", at::arange(6, at::kFloat).reshape({2, 3}));
  AnyDict optimizer = any_dict();
  optimizer.insert(0, moments);
  optimizer.insert(7, any_dict());
  state.insert("optimizer", optimizer);
  state.insert("rng", at::arange(5056).remainder(251).to(at::kByte));
  state.insert("bf16", at::arange(4).to(at::kBFloat16));
  state.insert("flags", at::arange(2).eq(0));
  state.insert("empty", at::zeros({0}));
  state.insert("view", at::arange(100000, at::kFloat).slice(0, 10, 13));
  state.insert("transposed", at::arange(6).reshape({2, 3}).t());
  return state;
}

}  // namespace lockstep

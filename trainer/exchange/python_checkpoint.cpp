#include "trainer/exchange/python_checkpoint.h"

#include <ATen/core/Dict.h>
#include <ATen/core/List.h>
#include <ATen/core/ivalue.h>

#include <algorithm>
#include <initializer_list>
#include <map>

#include "sampler/data_error.h"
#include "trainer/checkpoint/safetensors.h"
#include "trainer/checkpoint/train_state_file.h"

namespace lockstep {
namespace {

using Dict = c10::impl::GenericDict;

std::string key_text(const c10::IValue& key) {
  return key.isString() ? key.toStringRef() : std::to_string(key.toInt());
}

Dict to_dict(const c10::IValue& value, const std::string& place) {
  if (!value.isGenericDict()) throw DataError(place + " is no dict");
  return value.toGenericDict();
}

NamedTensors to_tensors(const Dict& dict, const std::string& place) {
  NamedTensors tensors;
  std::string others;
  for (const auto& item : dict) {
    if (!item.key().isString() || !item.value().isTensor()) {
      others += (others.empty() ? "" : ", ") + key_text(item.key());
      continue;
    }
    tensors.emplace_back(item.key().toStringRef(), item.value().toTensor());
  }
  if (!others.empty()) throw DataError(place + " holds other things than tensors: " + others);
  if (tensors.empty()) throw DataError(place + " holds no tensors");
  return without_ddp_prefix(std::move(tensors));
}

// The parameter's index, then the name of what is remembered, as in Python's state_dict()["state"].
std::vector<OptimizerStateEntry> to_entries(const Dict& state) {
  std::vector<OptimizerStateEntry> entries;
  for (const auto& parameter : state) {
    if (!parameter.key().isInt())
      throw DataError("its optimizer's state has a key that is no parameter's number");
    const std::int64_t index = parameter.key().toInt();
    const std::string place = "its optimizer's state of parameter " + std::to_string(index);
    for (const auto& item : to_dict(parameter.value(), place)) {
      const std::string name = key_text(item.key());
      if (item.value().isNone()) continue;  // SGD's momentum_buffer where there is no momentum
      if (!item.value().isTensor()) throw DataError(place + ": " + name + " is no tensor");
      entries.push_back({index, name, item.value().toTensor()});
    }
  }
  std::stable_sort(entries.begin(), entries.end(),
                   [](const auto& a, const auto& b) { return a.parameter_index < b.parameter_index; });
  return entries;
}

double to_number(const c10::IValue& value, const std::string& name) {
  if (value.isDouble()) return value.toDouble();
  if (value.isInt()) return static_cast<double>(value.toInt());
  if (value.isTensor() && value.toTensor().numel() == 1) return value.toTensor().item().toDouble();
  throw DataError("its optimizer's " + name + " is no number");
}

std::vector<c10::IValue> elements_of(const c10::IValue& value, const std::string& name) {
  if (value.isTuple()) return value.toTupleRef().elements().vec();
  if (value.isList()) return value.toListRef().vec();
  throw DataError("its optimizer's " + name + " is no list");
}

void refuse_if_set(const c10::IValue& value, const std::string& name) {
  if (value.isBool() && value.toBool())
    throw DataError("its optimizer has " + name + "=True, which Lockstep's optimizers have not");
}

ParamGroup to_param_group(const c10::IValue& groups) {
  const auto all = elements_of(groups, "param_groups");
  if (all.size() != 1) {
    throw DataError("its optimizer has " + std::to_string(all.size()) +
                    " param_groups; Lockstep's optimizers have one, with all parameters");
  }
  ParamGroup group;
  const std::map<std::string, std::optional<double>*> numbers = {{"lr", &group.lr},
                                                                 {"momentum", &group.momentum},
                                                                 {"dampening", &group.dampening},
                                                                 {"weight_decay", &group.weight_decay},
                                                                 {"eps", &group.eps}};
  for (const auto& item : to_dict(all[0], "its optimizer's param_groups[0]")) {
    const std::string name = key_text(item.key());
    if (const auto number = numbers.find(name); number != numbers.end()) {
      *number->second = to_number(item.value(), name);
    } else if (name == "nesterov") {
      group.nesterov = item.value().isBool() && item.value().toBool();
    } else if (name == "betas") {
      const auto betas = elements_of(item.value(), name);
      if (betas.size() != 2) throw DataError("its optimizer's betas are not two");
      group.beta1 = to_number(betas[0], name);
      group.beta2 = to_number(betas[1], name);
    } else if (name == "amsgrad" || name == "maximize") {
      refuse_if_set(item.value(), name);
    }
  }
  return group;
}

void read_optimizer(const c10::IValue& value, PythonCheckpoint& checkpoint) {
  const Dict optimizer = to_dict(value, "its optimizer's state_dict");
  const auto state = optimizer.find("state");
  const auto groups = optimizer.find("param_groups");
  if (state == optimizer.end() || groups == optimizer.end())
    throw DataError("its optimizer is no state_dict() of torch.optim, with state and param_groups");
  checkpoint.param_group = to_param_group(groups->value());
  checkpoint.optimizer = to_entries(to_dict(state->value(), "its optimizer's state"));
}

void read_random_states(const c10::IValue& value, PythonCheckpoint& checkpoint) {
  for (const c10::IValue& state : elements_of(value, "random_states")) {
    if (!state.isTensor()) throw DataError("its random_states are no list of tensors");
    checkpoint.random_states.push_back(state.toTensor());
  }
}

// GradScaler.state_dict(), which is empty where it is not enabled.
std::optional<GradScalerState> to_scaler(const c10::IValue& value) {
  const Dict dict = to_dict(value, "its scaler's state_dict");
  if (dict.empty()) return std::nullopt;
  const auto scale = dict.find("scale");
  const auto tracker = dict.find("_growth_tracker");
  if (scale == dict.end() || tracker == dict.end() || !scale->value().isDouble() || !tracker->value().isInt())
    throw DataError("its scaler is no state_dict() of torch.amp.GradScaler, with scale and _growth_tracker");
  return GradScalerState{scale->value().toDouble(), tracker->value().toInt()};
}

PythonCheckpoint from_dict(const Dict& dict) {
  PythonCheckpoint checkpoint;
  const bool bare =
      std::any_of(dict.begin(), dict.end(), [](const auto& item) { return item.value().isTensor(); });
  if (bare || dict.empty()) {
    checkpoint.model = to_tensors(dict, "its dict");
    return checkpoint;
  }
  const auto is_one_of = [](const std::string& name, std::initializer_list<const char*> names) {
    return std::any_of(names.begin(), names.end(), [&](const char* known) { return name == known; });
  };
  for (const auto& item : dict) {
    const std::string name = key_text(item.key());
    if (is_one_of(name, {"model", "model_state_dict", "state_dict"}) && checkpoint.model.empty()) {
      checkpoint.model = to_tensors(to_dict(item.value(), "its " + name), "its " + name);
    } else if (is_one_of(name, {"optimizer", "optimizer_state_dict"}) && !checkpoint.param_group) {
      read_optimizer(item.value(), checkpoint);
    } else if (is_one_of(name, {"step", "global_step"})) {
      if (!item.value().isInt() || item.value().toInt() < 0)
        throw DataError("its " + name + " is no whole number from 0");
      checkpoint.step = item.value().toInt();
    } else if (is_one_of(name, {"scaler", "scaler_state_dict"})) {
      checkpoint.grad_scaler = to_scaler(item.value());
    } else if (name == "random_states") {
      read_random_states(item.value(), checkpoint);
    } else {
      checkpoint.unused.push_back(name);
    }
  }
  if (checkpoint.model.empty()) {
    throw DataError(
        "it is neither a state_dict() nor a dict that holds one as \"model\", "
        "\"model_state_dict\" or \"state_dict\"");
  }
  return checkpoint;
}

}  // namespace

bool is_safetensors(const std::filesystem::path& path) {
  return path.extension() == ".safetensors";
}

PythonCheckpoint read_python_checkpoint(const std::filesystem::path& path) {
  if (is_safetensors(path)) {
    PythonCheckpoint checkpoint;
    checkpoint.model = without_ddp_prefix(read_safetensors(path));
    return checkpoint;
  }
  const c10::IValue content = read_train_state(path);
  try {
    return from_dict(to_dict(content, "what it holds"));
  } catch (const DataError& error) {
    throw DataError(path.string() + ": " + error.what());
  }
}

}  // namespace lockstep

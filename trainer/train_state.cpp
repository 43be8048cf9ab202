#include "trainer/train_state.h"

#include <ATen/core/Dict.h>
#include <ATen/core/List.h>
#include <ATen/core/jit_type.h>

#include <utility>

#include "sampler/data_error.h"

namespace lockstep {
namespace {

// Of train_state.pt. To be raised with every field that is added, dropped or changed.
// 1: until the schedule was saved; 2: with the schedule, the monitor and the circumstances; 3: with the
// gradient scaler.
constexpr std::int64_t kFormatVersion = 3;

using Dict = c10::impl::GenericDict;
using List = c10::impl::GenericList;

Dict make_dict() {
  return Dict(c10::StringType::get(), c10::AnyType::get());
}
List make_list() {
  return List(c10::AnyType::get());
}

c10::IValue optional_number(const std::optional<double>& number) {
  return number ? c10::IValue(*number) : c10::IValue();
}

// Reads one dict, complaining in terms of its fields.
class Reader {
 public:
  Reader(const c10::IValue& value, std::string place)
      : place_(std::move(place)), dict_(dict_of(value, place_)) {}

  std::int64_t integer(const std::string& name) const {
    const c10::IValue value = field(name);
    if (!value.isInt()) complain(name, "an integer");
    return value.toInt();
  }
  std::int64_t count(const std::string& name) const {
    const std::int64_t value = integer(name);
    if (value < 0) complain(name, "an integer of at least 0");
    return value;
  }
  bool boolean(const std::string& name) const {
    const c10::IValue value = field(name);
    if (!value.isBool()) complain(name, "a bool");
    return value.toBool();
  }
  std::string text(const std::string& name) const {
    const c10::IValue value = field(name);
    if (!value.isString()) complain(name, "a string");
    return value.toStringRef();
  }
  double number(const std::string& name) const {
    const c10::IValue value = field(name);
    if (!value.isDouble()) complain(name, "a float");
    return value.toDouble();
  }
  std::optional<double> optional_number(const std::string& name) const {
    const c10::IValue value = field(name);
    if (value.isNone()) return std::nullopt;
    if (!value.isDouble()) complain(name, "a float or None");
    return value.toDouble();
  }
  at::Tensor tensor(const std::string& name) const {
    const c10::IValue value = field(name);
    if (!value.isTensor()) complain(name, "a tensor");
    return value.toTensor();
  }
  List list(const std::string& name) const {
    const c10::IValue value = field(name);
    if (!value.isList()) complain(name, "a list");
    return value.toList();
  }
  c10::IValue field(const std::string& name) const {
    const auto found = dict_.find(name);
    if (found == dict_.end()) throw DataError("checkpoint: train_state.pt has no " + place_ + name);
    return found->value();
  }
  const Dict& dict() const { return dict_; }

  [[noreturn]] void complain(const std::string& name, const std::string& wanted) const {
    throw DataError("checkpoint: " + place_ + name + " in train_state.pt is not " + wanted);
  }

 private:
  static Dict dict_of(const c10::IValue& value, const std::string& place) {
    if (!value.isGenericDict())
      throw DataError("checkpoint: train_state.pt" + (place.empty() ? "" : ", " + place) + " is no dict");
    return value.toGenericDict();
  }

  std::string place_;
  Dict dict_;
};

c10::IValue buckets_to_ivalue(const BucketHistory& history) {
  List assignment = make_list();
  for (const auto& bucket : history.assignment) {
    List indices = make_list();
    for (const std::int64_t index : bucket) indices.push_back(index);
    assignment.push_back(indices);
  }
  Dict dict = make_dict();
  dict.insert("rebuilt", history.rebuilt);
  dict.insert("assignment", assignment);
  return dict;
}

BucketHistory buckets_from(const c10::IValue& value) {
  const Reader reader(value, "buckets.");
  BucketHistory history;
  history.rebuilt = reader.boolean("rebuilt");
  for (const c10::IValue& bucket : reader.list("assignment").vec()) {
    if (!bucket.isList()) reader.complain("assignment", "a list of lists");
    std::vector<std::int64_t> indices;
    for (const c10::IValue& index : bucket.toListRef()) {
      if (!index.isInt()) reader.complain("assignment", "a list of lists of integers");
      indices.push_back(index.toInt());
    }
    history.assignment.push_back(std::move(indices));
  }
  return history;
}

c10::IValue monitor_to_ivalue(const MonitorState& state) {
  Dict dict = make_dict();
  dict.insert("monitor", state.monitor);
  dict.insert("reference", optional_number(state.reference));
  dict.insert("without_improvement", state.without_improvement);
  dict.insert("best", optional_number(state.best));
  dict.insert("best_step", state.best_step ? c10::IValue(*state.best_step) : c10::IValue());
  return dict;
}

MonitorState monitor_from(const c10::IValue& value) {
  const Reader reader(value, "monitor.");
  MonitorState state;
  state.monitor = reader.text("monitor");
  state.reference = reader.optional_number("reference");
  state.without_improvement = reader.count("without_improvement");
  state.best = reader.optional_number("best");
  if (!reader.field("best_step").isNone()) state.best_step = reader.count("best_step");
  return state;
}

c10::IValue scaler_to_ivalue(const std::optional<GradScalerState>& state) {
  if (!state) return {};
  Dict dict = make_dict();
  dict.insert("scale", state->scale);
  dict.insert("growth_tracker", state->growth_tracker);
  return dict;
}

std::optional<GradScalerState> scaler_from(const c10::IValue& value) {
  if (value.isNone()) return std::nullopt;
  const Reader reader(value, "grad_scaler.");
  return GradScalerState{reader.number("scale"), reader.count("growth_tracker")};
}

using Names = std::vector<std::pair<std::string, std::string>>;

c10::IValue names_to_ivalue(const Names& names) {
  Dict dict = make_dict();
  for (const auto& [name, value] : names) dict.insert(name, value);
  return dict;
}

Names names_from(const Reader& reader, const std::string& name) {
  Names names;
  const Reader dict(reader.field(name), name + ".");
  for (const auto& item : dict.dict()) {
    if (!item.key().isString() || !item.value().isString()) reader.complain(name, "a dict of strings");
    names.emplace_back(item.key().toStringRef(), item.value().toStringRef());
  }
  return names;
}

TrainState state_from(const Reader& reader) {
  TrainState state;
  state.step = reader.count("step");
  state.epoch = reader.count("epoch");
  state.batch = reader.count("batch");
  state.samples_seen = reader.count("samples_seen");
  state.train_loss = reader.optional_number("train_loss");
  state.test_loss = reader.optional_number("test_loss");
  state.test_accuracy = reader.optional_number("test_accuracy");
  if (reader.dict().contains("monitor")) state.monitor = monitor_from(reader.field("monitor"));
  for (const c10::IValue& random_state : reader.list("random_states").vec()) {
    if (!random_state.isTensor()) reader.complain("random_states", "a list of tensors");
    state.random_states.push_back(random_state.toTensor());
  }
  state.buckets = buckets_from(reader.field("buckets"));
  state.schedule = reader.text("schedule");
  state.schedule_steps = reader.count("schedule_steps");
  state.lr = reader.number("lr");
  state.momentum = reader.optional_number("momentum");
  if (reader.dict().contains("grad_scaler")) state.grad_scaler = scaler_from(reader.field("grad_scaler"));
  state.optimizer_name = reader.text("optimizer_name");
  for (const c10::IValue& item : reader.list("optimizer").vec()) {
    const Reader entry(item, "optimizer.");
    state.optimizer.push_back({entry.count("parameter_index"), entry.text("name"), entry.tensor("value")});
  }
  state.identity = names_from(reader, "identity");
  if (reader.dict().contains("circumstances")) state.circumstances = names_from(reader, "circumstances");
  return state;
}

}  // namespace

c10::IValue to_ivalue(const TrainState& state) {
  List random_states = make_list();
  for (const at::Tensor& random_state : state.random_states) random_states.push_back(random_state);
  List optimizer = make_list();
  for (const OptimizerStateEntry& entry : state.optimizer) {
    Dict item = make_dict();
    item.insert("parameter_index", entry.parameter_index);
    item.insert("name", entry.name);
    item.insert("value", entry.value);
    optimizer.push_back(item);
  }

  Dict dict = make_dict();
  dict.insert("format_version", kFormatVersion);
  dict.insert("step", state.step);
  dict.insert("epoch", state.epoch);
  dict.insert("batch", state.batch);
  dict.insert("samples_seen", state.samples_seen);
  dict.insert("train_loss", optional_number(state.train_loss));
  dict.insert("test_loss", optional_number(state.test_loss));
  dict.insert("test_accuracy", optional_number(state.test_accuracy));
  dict.insert("monitor", monitor_to_ivalue(state.monitor));
  dict.insert("random_states", random_states);
  dict.insert("buckets", buckets_to_ivalue(state.buckets));
  dict.insert("schedule", state.schedule);
  dict.insert("schedule_steps", state.schedule_steps);
  dict.insert("lr", state.lr);
  dict.insert("momentum", optional_number(state.momentum));
  dict.insert("grad_scaler", scaler_to_ivalue(state.grad_scaler));
  dict.insert("optimizer_name", state.optimizer_name);
  dict.insert("optimizer", optimizer);
  dict.insert("identity", names_to_ivalue(state.identity));
  dict.insert("circumstances", names_to_ivalue(state.circumstances));
  return dict;
}

TrainState train_state_from(const c10::IValue& value) {
  const Reader reader(value, "");
  const std::int64_t version = reader.integer("format_version");
  if (version > kFormatVersion) {
    throw DataError("checkpoint: train_state.pt has format " + std::to_string(version) +
                    ", this program reads up to " + std::to_string(kFormatVersion) +
                    "; use a newer Lockstep");
  }
  try {
    return state_from(reader);
  } catch (const DataError& error) {
    if (version == kFormatVersion) throw;
    throw DataError(
        std::string(error.what()) + ": it has format " + std::to_string(version) +
        ", of an older Lockstep; go on with that one, or begin anew with the checkpoint's weights "
        "(--fresh --init-from .../model.safetensors)");
  }
}

}  // namespace lockstep

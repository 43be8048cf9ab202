#include "trainer/exchange/python_optimizer.h"

#include <ATen/core/Dict.h>
#include <ATen/core/List.h>
#include <ATen/core/jit_type.h>

#include <algorithm>
#include <optional>

#include "trainer/config/option_value.h"

namespace lockstep {
namespace {

using Dict = c10::impl::GenericDict;
using List = c10::impl::GenericList;

Dict make_dict() {
  return Dict(c10::AnyType::get(), c10::AnyType::get());
}

template <class... Values>
List list_of(const Values&... values) {
  List list(c10::AnyType::get());
  (list.push_back(values), ...);
  return list;
}

Dict param_group(const std::string& name, const OptimizerOptions& options) {
  Dict group = make_dict();
  group.insert("lr", options.lr);
  group.insert("weight_decay", options.weight_decay);
  if (name == "sgd") {
    group.insert("momentum", options.momentum);
    group.insert("dampening", options.dampening);
    group.insert("nesterov", options.nesterov);
  } else {
    group.insert("betas", list_of(options.beta1, options.beta2));
    group.insert("eps", options.eps);
    group.insert("amsgrad", false);
    group.insert("capturable", false);
    group.insert("decoupled_weight_decay", name == "adamw");
  }
  group.insert("maximize", false);
  group.insert("foreach", c10::IValue());
  group.insert("differentiable", false);
  group.insert("fused", c10::IValue());
  return group;
}

// PyTorch's own defaults, which LrSchedule has too.
void add_one_cycle(Dict& group, double max_lr, const LrScheduleOptions& schedule) {
  const double initial_lr = max_lr / schedule.div_factor;
  group.insert("initial_lr", initial_lr);
  group.insert("max_lr", max_lr);
  group.insert("min_lr", initial_lr / schedule.final_div_factor);
  if (!schedule.cycle_momentum) return;
  group.insert("max_momentum", kOneCycleMaxMomentum);
  group.insert("base_momentum", kOneCycleBaseMomentum);
}

Dict scheduler_state(std::int64_t last_epoch, double lr) {
  Dict state = make_dict();
  state.insert("last_epoch", last_epoch);
  state.insert("_step_count", last_epoch + 1);
  state.insert("_last_lr", list_of(lr));
  return state;
}

}  // namespace

c10::IValue python_optimizer_state(const std::string& name, const OptimizerOptions& options,
                                   const std::vector<OptimizerStateEntry>& entries,
                                   std::int64_t num_parameters, double base_lr,
                                   const LrScheduleOptions& schedule) {
  Dict state = make_dict();
  for (const OptimizerStateEntry& entry : entries) {
    if (!state.contains(entry.parameter_index)) state.insert(entry.parameter_index, make_dict());
    state.at(entry.parameter_index).toGenericDict().insert(entry.name, entry.value);
  }
  Dict group = param_group(name, options);
  if (schedule.name == "one-cycle") {
    add_one_cycle(group, base_lr, schedule);
  } else {
    group.insert("initial_lr", base_lr);
  }
  List indices(c10::AnyType::get());
  for (std::int64_t i = 0; i < num_parameters; ++i) indices.push_back(i);
  group.insert("params", indices);
  Dict optimizer = make_dict();
  optimizer.insert("state", state);
  optimizer.insert("param_groups", list_of(group));
  return optimizer;
}

c10::IValue python_scheduler_state(const LrScheduleOptions& schedule, std::int64_t steps, double lr) {
  Dict state = scheduler_state(steps, lr);
  if (schedule.warmup_steps > 0 && schedule.name != "constant") {  // SequentialLR
    const std::int64_t milestone = schedule.warmup_steps;
    state.insert("_milestones", list_of(milestone));
    state.insert("_schedulers", list_of(scheduler_state(std::min(steps, milestone - 1), lr),
                                        scheduler_state(std::max<std::int64_t>(steps - milestone, -1), lr)));
  }
  return state;
}

std::vector<std::string> differences(const ParamGroup& saved, const std::string& name,
                                     const OptimizerOptions& options, bool momentum_moves) {
  std::vector<std::string> lines;
  const auto compare = [&](const char* option, const auto& was, auto is) {
    if (!was || *was == is) return;
    lines.push_back(std::string(option) + " was " + to_text(*was) + ", is " + to_text(is));
  };
  compare("weight decay", saved.weight_decay, options.weight_decay);
  if (name == "sgd") {
    if (!momentum_moves) compare("momentum", saved.momentum, options.momentum);
    compare("dampening", saved.dampening, options.dampening);
    compare("nesterov", saved.nesterov, options.nesterov);
  } else {
    if (!momentum_moves) compare("beta1", saved.beta1, options.beta1);
    compare("beta2", saved.beta2, options.beta2);
    compare("eps", saved.eps, options.eps);
  }
  return lines;
}

}  // namespace lockstep

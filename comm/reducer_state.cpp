#include "comm/reducer_state.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/engine.h>

#include <algorithm>
#include <cstdio>
#include <numeric>
#include <stdexcept>

#include "comm/device_trace.h"
#include "comm/errors.h"
#include "comm/link_measurement.h"

namespace lockstep {
namespace {

constexpr int kMeasuredPasses = 3;  // the first ones are slow: memory is new

std::string mebibytes(std::int64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3g MiB", static_cast<double>(bytes) / (1 << 20));
  return text;
}

}  // namespace

void Reducer::State::use_assignment(const BucketAssignment& assignment) {
  finish_gatherings();
  buckets.clear();
  slots.assign(parameters.size(), {});
  for (std::size_t b = 0; b < assignment.size(); ++b) {
    buckets.push_back({assignment[b], std::nullopt, 0, nullptr});
    if (!shared) {
      buckets.back().memory.emplace(parameters, assignment[b], *communicator, logical_ranks(),
                                    deferred ? BucketLayout::kBlocks : BucketLayout::kFlat);
    }
    for (std::size_t i = 0; i < assignment[b].size(); ++i) {
      slots[static_cast<std::size_t>(assignment[b][i])] = {b, i};
    }
  }
  if (shared) shared->use_assignment(assignment);
  if (scatters()) plan_blocks();
}

BucketAssignment Reducer::State::assignment() const {
  BucketAssignment result;
  for (const ActiveBucket& active : buckets) result.push_back(active.parameters);
  return result;
}

void Reducer::State::begin_backward() {
  finish_gatherings();  // of what the forward pass left out, before the buckets take gradients
  in_backward = true;
  expects_backward = false;
  next_bucket = 0;
  times = {};
  gradients_left = parameters.size();
  ready.assign(parameters.size(), false);
  if (!rebuilt && logical_rank == 0) arrival_order.clear();
  arrivals.clear();
  first_arrival = std::chrono::steady_clock::now();
  for (ActiveBucket& active : buckets) {
    active.pending = active.parameters.size();
    active.work = nullptr;
  }
  torch::autograd::Engine::get_default_engine().queue_callback(
      [self = shared_from_this()] { self->finish_backward(); });
  if (!absent_known) {
    absent.clear();
  } else {
    for (const std::size_t parameter : absent) add_absent(parameter);
  }
}

void Reducer::State::on_gradient(std::size_t parameter) {
  const std::scoped_lock lock(mutex);
  if (used) used->mark(parameter);
  if (!synchronize) return;
  if (!in_backward) {
    if (!expects_backward) {
      throw std::runtime_error(name_of_rank() +
                               ": backward() for the second time after one forward pass; each synchronised "
                               "backward pass needs a forward pass of its own, or no_sync()");
    }
    begin_backward();
  }
  if (ready[parameter]) refuse_second_gradient(parameter);
  check_dense(parameter);
  if (shared) {
    shared->add(parameter);
  } else {
    move_into_bucket(parameter);
  }
  mark_ready(parameter);
}

void Reducer::State::refuse_second_gradient(std::size_t parameter) {
  in_backward = false;
  if (std::find(absent.begin(), absent.end(), parameter) != absent.end()) {
    throw std::runtime_error(
        "parameter " + names[parameter] +
        " got a gradient, which it had not in the first pass of a graph that was declared "
        "static; leave static_graph out, and set find_unused_parameters");
  }
  throw std::runtime_error(
      "parameter " + names[parameter] +
      " got a second gradient in one backward pass; a parameter that is shared or used by "
      "checkpointed code more than once needs no_sync() for all passes but the last");
}

void Reducer::State::mark_ready(std::size_t parameter) {
  ready[parameter] = true;
  --gradients_left;
  if (!rebuilt && logical_rank == 0) arrival_order.push_back(static_cast<std::int64_t>(parameter));
  if (measures()) {
    arrivals.push_back(
        {seconds_since(first_arrival), static_cast<std::int64_t>(parameters[parameter].nbytes())});
  }
  const std::size_t bucket = slots[parameter].bucket;
  if (--buckets[bucket].pending > 0) return;
  if (trace != nullptr) {
    trace->add({.name = "ready",
                .category = "bucket",
                .line = 1 + static_cast<int>(bucket),
                .begin_ns = TraceRecorder::now_ns()});
  }
  if (shared || !is_last_logical_rank()) return;
  for (; next_bucket < buckets.size() && buckets[next_bucket].pending == 0; ++next_bucket) {
    if (gradients_left > 0) ++times.buckets_started_in_backward;
    start_reduction(next_bucket, buckets[next_bucket].memory->flat());
  }
}

void Reducer::State::start_reduction(std::size_t bucket, const at::Tensor& gradients) {
  ActiveBucket& active = buckets[bucket];
  if (trace != nullptr) active.begin_ns = TraceRecorder::now_ns();
  const TracedBucket traced(trace, bucket);
  if (scatters()) {
    active.work = communicator->reduce_scatter(active.memory->block(), active.memory->blocks());
    return;
  }
  if (!options.hook) {
    const ReductionOrder order = communicator->reduction_order();
    const bool order_is_fixed = order != ReductionOrder::kFast;
    active.work = options.logical_ranks > 1 || (options.logical_ranks == 1 && !order_is_fixed)
                      ? communicator->all_reduce_rows(gradients, active.memory->rows(),
                                                      order_is_fixed ? order : ReductionOrder::kTree)
                      : communicator->all_reduce(gradients);
    return;
  }
  guard_hook(bucket, [&] {
    active.work = options.hook->exchange({.gradients = gradients, .index = bucket, .count = buckets.size()},
                                         *communicator);
    if (!active.work) throw std::logic_error("it returned no Work");
  });
}

void Reducer::State::wait_for(std::size_t bucket) {
  ActiveBucket& active = buckets[bucket];
  const auto begin = std::chrono::steady_clock::now();
  const std::int64_t begin_ns = trace != nullptr ? TraceRecorder::now_ns() : 0;
  if (options.hook) {
    guard_hook(bucket, [&] { active.work->wait(); });
  } else {
    active.work->wait();
  }
  times.exposed_wait_s += seconds_since(begin);
  active.work = nullptr;
  if (trace == nullptr) return;
  const std::int64_t end_ns = TraceRecorder::now_ns();
  trace->add({.name = "wait for bucket " + std::to_string(bucket),
              .category = "wait",
              .begin_ns = begin_ns,
              .duration_ns = end_ns - begin_ns});
  trace->add({.name = "reduction",
              .category = "bucket",
              .line = 1 + static_cast<int>(bucket),
              .begin_ns = active.begin_ns,
              .duration_ns = end_ns - active.begin_ns,
              .bytes = static_cast<std::int64_t>(active.memory->flat().nbytes())});
}

void Reducer::State::guard_hook(std::size_t bucket, const std::function<void()>& body) {
  try {
    body();
  } catch (const CommError&) {
    throw;
  } catch (const std::exception& error) {
    const std::string reason =
        "the communication hook failed in bucket " + std::to_string(bucket) + ": " + error.what();
    communicator->abort(reason);
    throw CommError(name_of_rank() + ": " + reason);
  }
}

void Reducer::State::add_absent(std::size_t parameter) {
  const Slot& slot = slots[parameter];
  const at::Tensor& view = buckets[slot.bucket].memory->view(slot.index);
  at::Tensor& gradient = parameters[parameter].mutable_grad();
  if (gradient.defined()) {
    if (gradient.is_alias_of(view)) gradient = gradient.clone();  // where it may have to stay as it is
    copy_into(view, gradient);
  } else {
    at::Tensor(view).zero_();
  }
  mark_ready(parameter);
}

void Reducer::State::check_dense(std::size_t parameter) const {
  if (parameters[parameter].grad().layout() == at::kStrided) return;
  throw std::invalid_argument("parameter " + names[parameter] +
                              " has a sparse gradient, which cannot be averaged over "
                              "ranks yet; make it dense (for an embedding: sparse = false)");
}

void Reducer::State::move_into_bucket(std::size_t parameter) {
  const Slot& slot = slots[parameter];
  const at::Tensor& view = buckets[slot.bucket].memory->view(slot.index, logical_rank);
  at::Tensor& gradient = parameters[parameter].mutable_grad();
  copy_into(view, gradient);
  if (!is_last_logical_rank() || scatters()) {
    gradient.reset();
  } else if (!gradient.is_alias_of(view)) {
    gradient = view;
  }
}

void Reducer::State::copy_into(at::Tensor view, const at::Tensor& gradient) const {
  if (!options.hook) {
    at::mul_out(view, gradient, one_over_world_size);
  } else if (!gradient.is_alias_of(view)) {
    view.copy_(gradient);
  }
}

void Reducer::State::finish_backward() {
  const std::scoped_lock lock(mutex);
  in_backward = false;
  if (gradients_left > 0) add_all_absent();
  if (!is_last_logical_rank()) return next_logical_rank();
  logical_rank = 0;
  ++passes;
  if (shared) {
    if (!deferred) average_in_place();
    return;
  }
  if (scatters()) return;
  const bool exchanges_use = used && !absent_known;
  if (exchanges_use) used->begin_exchange(*communicator);
  for (std::size_t bucket = 0; bucket < buckets.size(); ++bucket) wait_for(bucket);
  if (exchanges_use) used->wait();
  for (const std::size_t parameter : absent) {
    const Slot& slot = slots[parameter];
    if (used->anywhere(parameter)) {
      parameters[parameter].mutable_grad() = buckets[slot.bucket].memory->view(slot.index);
    }
  }
  absent_known = options.static_graph;
}

void Reducer::State::next_logical_rank() {
  if (shared) shared->next_logical_rank();
  ++logical_rank;
}

void Reducer::State::add_all_absent() {
  std::vector<std::size_t> missing;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    if (!ready[i]) missing.push_back(i);
  }
  if (!used || absent_known) refuse_missing(missing);
  absent = missing;
  for (const std::size_t parameter : missing) add_absent(parameter);
}

void Reducer::State::refuse_missing(const std::vector<std::size_t>& missing) const {
  std::string list;
  for (const std::size_t parameter : missing) list += (list.empty() ? "" : ", ") + names[parameter];
  throw std::runtime_error(
      name_of_rank() + ": the backward pass gave no gradient to " + list +
      (absent_known
           ? ", as the first pass of a graph that was declared static did; leave static_graph out, and "
             "set find_unused_parameters"
           : "; every parameter that requires a gradient must take part in the loss, unless "
             "find_unused_parameters is set"));
}

void Reducer::State::average_in_place() {
  const auto begin = std::chrono::steady_clock::now();
  const TraceSpan span(trace, "wait", "average in shared memory");
  shared->average();
  times.exposed_wait_s += seconds_since(begin);
}

bool Reducer::State::can_rebuild() const {
  return !rebuilt && logical_rank == 0 && !options.find_unused_parameters &&
         arrival_order.size() == parameters.size() && (!measures() || passes >= kMeasuredPasses);
}

BucketAssignment Reducer::State::assignment_by_arrival(const std::vector<std::int64_t>& order) const {
  return assign_buckets(parameters, order, {options.first_bucket_cap_bytes, options.bucket_cap_bytes});
}

void Reducer::State::check_nothing_under_way() {
  if (scatters() && gradients_left == 0) return leave_out_update();
  for (const ActiveBucket& active : buckets) {
    if (!active.work) continue;
    const std::string reason = "a backward pass failed in the middle of its reductions";
    communicator->abort(reason);
    throw CommError(name_of_rank() + ": " + reason + "; the ranks cannot go on together");
  }
}

void Reducer::State::rebuild_buckets() {
  if (measures()) choose_caps();
  at::Tensor order =
      at::empty({static_cast<std::int64_t>(parameters.size())}, at::TensorOptions().dtype(at::kLong));
  std::copy(arrival_order.begin(), arrival_order.end(), order.data_ptr<std::int64_t>());
  communicator->broadcast(order, 0)->wait();
  const auto* agreed = order.const_data_ptr<std::int64_t>();
  use_assignment(assignment_by_arrival({agreed, agreed + parameters.size()}));
  rebuilt = true;
}

void Reducer::State::choose_caps() {
  const LinkModel link = measure_link(*communicator, parameters.front().device());
  // A rank that had no inputs knows no times.
  BucketCaps chosen{options.first_bucket_cap_bytes, options.bucket_cap_bytes};
  if (arrivals.size() == parameters.size()) chosen = choose_bucket_caps(arrivals, link);
  at::Tensor caps = at::empty({2}, at::TensorOptions().dtype(at::kLong));
  auto* values = caps.mutable_data_ptr<std::int64_t>();
  values[0] = chosen.first_bytes;
  values[1] = chosen.rest_bytes;
  communicator->broadcast(caps, 0)->wait();
  options.first_bucket_cap_bytes = values[0];
  options.bucket_cap_bytes = values[1];
  if (arrivals.empty()) return;
  const bool stay = values[0] == kPytorchFirstCapBytes && values[1] == kPytorchCapBytes;
  const auto exposed_ms = [&](std::int64_t first, std::int64_t rest) {
    return exposed_communication_s(arrivals, link, first, rest) * 1e3;
  };
  char reason[160];
  std::snprintf(reason, sizeof reason,
                ": on a link of %.3g us and %.3g GB/s they leave %.3g ms of communication exposed, ",
                link.latency_s * 1e6, link.s_per_byte > 0.0 ? 1e-9 / link.s_per_byte : 0.0,
                exposed_ms(values[0], values[1]));
  char instead[80] = "and others hardly less";
  if (!stay) {
    std::snprintf(instead, sizeof instead, "PyTorch's 1 and 25 MiB %.3g ms",
                  exposed_ms(kPytorchFirstCapBytes, kPytorchCapBytes));
  }
  remark = std::string("bucket caps ") + (stay ? "stay " : "") + mebibytes(values[0]) + " (first) and " +
           mebibytes(values[1]) + reason + instead;
}

void Reducer::State::shadow() {
  times = {};
  for (std::size_t bucket = 0; bucket < buckets.size(); ++bucket) {
    start_reduction(bucket, at::zeros_like(buckets[bucket].memory->flat()));
  }
  if (used && !absent_known) used->begin_exchange(*communicator);
  for (std::size_t bucket = 0; bucket < buckets.size(); ++bucket) wait_for(bucket);
  if (used && !absent_known) used->wait();
  ++passes;
  // A rank that has never seen a gradient takes part in the rebuild with the order of registration, as in
  // PyTorch.
  if (rebuilt || arrival_order.size() == parameters.size()) return;
  arrival_order.resize(parameters.size());
  std::iota(arrival_order.begin(), arrival_order.end(), 0);
}
}  // namespace lockstep

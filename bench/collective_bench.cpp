#include "bench/collective_bench.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <stdexcept>

#include "bench/config/text_values.h"
#include "bench/result_file.h"
#include "bench/sum_pattern.h"
#include "bench/wrong_result.h"

namespace lockstep {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::int64_t kTurnBytes = 1 << 20;  // less is over too soon for a barrier's jitter not to matter
constexpr std::int64_t kMostOperations = 64;  // of a turn
// A turn of less begins with one that is not timed: the contender before has left its own memory in the
// caches, a tenth of the time of a megabyte, and whoever trains has the same collective again and again.
constexpr std::size_t kCachedBytes = 8 << 20;
constexpr std::int64_t kSlotAlignment = 64;  // bytes: no two operations of a turn share a cache line

std::int64_t operations_of_turn(std::int64_t bytes) {
  return std::clamp(kTurnBytes / bytes, std::int64_t{1}, kMostOperations);
}

std::int64_t slot_elements(std::int64_t bytes, std::int64_t element_bytes) {
  return (bytes + kSlotAlignment - 1) / kSlotAlignment * kSlotAlignment / element_bytes;
}

// Of all threads of this process, the kernel's work for them included.
std::int64_t process_cpu_ns() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<std::int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}

// The memory of one contender at one size: a slot for each operation of a turn. A reduce-scatter's output and
// an all-gather's input are a rank's share of the whole; where it is in place they lie in it.
struct Slots {
  std::vector<at::Tensor> outputs;
  std::vector<at::Tensor> inputs;  // the outputs themselves where an all-reduce or a broadcast is in place
};

// `elements` of each slot.
std::vector<at::Tensor> cut(const at::Tensor& memory, std::int64_t bytes, std::int64_t elements) {
  const std::int64_t stride = slot_elements(bytes, static_cast<std::int64_t>(memory.element_size()));
  std::vector<at::Tensor> slots;
  for (std::int64_t i = 0; i < operations_of_turn(bytes); ++i)
    slots.push_back(memory.narrow(0, i * stride, elements));
  return slots;
}

// Does nothing: what is timed then is the harness.
class Nobody final : public CollectiveContender {
 public:
  std::string name() const override { return "nobody"; }
  void run(const at::Tensor& /*output*/, const at::Tensor& /*input*/) override {}
  bool has_result() const override { return false; }
};

class Measurement {
 public:
  Measurement(const CollectiveConfig& config, const BenchWorld& world,
              const std::vector<std::unique_ptr<CollectiveContender>>& contenders)
      : config_(config),
        world_(world),
        contenders_(contenders),
        dtype_(parse_dtype(config.dtype)),
        warm_(config.buffers == "warm"),
        // Whoever adds nothing up needs no dtype that holds a sum.
        pattern_(adds_up(config.collective) ? SumPattern(dtype_, world.rank(), world.world_size(), warm_)
                                            : SumPattern::of_rank(dtype_, world.rank())) {
    if (adds_up(config.collective)) return;
    for (int rank = 0; rank < world.world_size(); ++rank)
      of_ranks_.push_back(SumPattern::of_rank(dtype_, rank));
  }

  std::int64_t element_bytes() const { return static_cast<std::int64_t>(c10::elementSize(dtype_)); }

  void allocate(const std::vector<std::int64_t>& sizes) {
    std::int64_t most = 0;
    for (const std::int64_t bytes : sizes) {
      most = std::max(most, operations_of_turn(bytes) * slot_elements(bytes, element_bytes()));
    }
    for (const auto& contender : contenders_) {
      outputs_.push_back(contender->allocate(most, dtype_));
      inputs_.push_back(config_.in_place ? outputs_.back() : contender->allocate(most, dtype_));
    }
  }

  // Rows for one size; empty if somebody asked to stop.
  std::vector<CollectiveRow> measure(std::int64_t bytes) {
    const std::size_t n = contenders_.size();
    std::vector<Slots> slots(n);
    for (std::size_t i = 0; i < n; ++i) slots[i] = make_slots(outputs_[i], inputs_[i], bytes);
    std::vector<std::vector<double>> times(n);
    std::vector<std::int64_t> wrong(n, 0);
    cpu_ns_.assign(n, 0);
    for (int round = -config_.warmup_iters; round < config_.iters; ++round) {
      for (std::size_t turn = 0; turn < n; ++turn) {
        const std::size_t i = (turn + static_cast<std::size_t>(round + config_.warmup_iters)) % n;
        const double seconds = take_turn(*contenders_[i], slots[i], cpu_ns_[i]);
        if (config_.check != 0 && contenders_[i]->has_result()) wrong[i] += check(slots[i]);
        if (round >= 0) times[i].push_back(seconds);
      }
      if (world_.stop_requested()) return {};
    }
    return make_rows(bytes, times, wrong, warm_ || warms_caches(slots.front()) ? 2 : 1);
  }

 private:
  Slots make_slots(const at::Tensor& outputs, const at::Tensor& inputs, std::int64_t bytes) const {
    const std::int64_t whole = bytes / element_bytes();
    const std::int64_t share = whole / world_.world_size();
    const bool scatters = config_.collective == Collective::kReduceScatter;
    const bool gathers = config_.collective == Collective::kAllGather;
    Slots slots;
    slots.outputs = cut(outputs, bytes, scatters ? share : whole);
    slots.inputs = cut(inputs, bytes, gathers ? share : whole);
    if (!config_.in_place) return slots;
    if (!scatters && !gathers) slots.inputs = slots.outputs;
    for (std::size_t k = 0; k < slots.outputs.size(); ++k) {
      if (scatters) slots.outputs[k] = slots.inputs[k].narrow(0, world_.rank() * share, share);
      if (gathers) slots.inputs[k] = slots.outputs[k].narrow(0, world_.rank() * share, share);
    }
    return slots;
  }

  bool warms_caches(const Slots& slots) const {
    const std::size_t bytes =
        slots.outputs.size() * std::max(slots.outputs.front().nbytes(), slots.inputs.front().nbytes());
    return !warm_ && bytes < kCachedBytes;
  }

  static void run(CollectiveContender& contender, const Slots& slots) {
    for (std::size_t k = 0; k < slots.outputs.size(); ++k) contender.run(slots.outputs[k], slots.inputs[k]);
  }

  // Seconds of one operation; `cpu_ns` grows by what all of them took.
  double take_turn(CollectiveContender& contender, const Slots& slots, std::int64_t& cpu_ns) {
    prepare(contender, slots);
    if (warms_caches(slots)) {
      run(contender, slots);
      prepare(contender, slots);
    }
    world_.wait_for_device();
    world_.communicator()->barrier();
    const std::int64_t cpu_begin_ns = process_cpu_ns();
    const auto begin = Clock::now();
    run(contender, slots);
    world_.wait_for_device();
    const std::chrono::duration<double> elapsed = Clock::now() - begin;
    cpu_ns += process_cpu_ns() - cpu_begin_ns;
    return elapsed.count() / static_cast<double>(slots.outputs.size());
  }

  void prepare(CollectiveContender& contender, const Slots& slots) {
    // What the turn before left there is the right answer; an in-place all-gather's other shares, too.
    const bool outlives_inputs = !config_.in_place || config_.collective == Collective::kAllGather;
    for (std::size_t k = 0; k < slots.outputs.size(); ++k) {
      if (outlives_inputs) slots.outputs[k].zero_();
      fill(slots.inputs[k], offset(k));
    }
    if (!warm_) return;
    for (std::size_t k = 0; k < slots.outputs.size(); ++k) {
      contender.run(slots.outputs[k], slots.inputs[k]);
      if (contender.has_result() && !config_.in_place) slots.inputs[k].copy_(slots.outputs[k]);
    }
  }

  void fill(const at::Tensor& input, std::int64_t from) const {
    const at::Tensor host =
        input.is_cpu() ? input : at::empty(input.sizes(), input.options().device(at::kCPU));
    pattern_.fill(host.mutable_data_ptr(), host.numel(), from);
    if (!host.is_same(input)) input.copy_(host);
  }

  std::int64_t check(const Slots& slots) const {
    std::int64_t wrong = 0;
    for (std::size_t k = 0; k < slots.outputs.size(); ++k) wrong += check(slots.outputs[k].cpu(), offset(k));
    return wrong;
  }

  std::int64_t check(const at::Tensor& output, std::int64_t from) const {
    const std::int64_t count = output.numel();
    switch (config_.collective) {
      case Collective::kAllReduce:
        return pattern_.count_wrong(output.const_data_ptr(), count, from);
      case Collective::kReduceScatter:
        return pattern_.count_wrong(output.const_data_ptr(), count, from + world_.rank() * count);
      case Collective::kBroadcast:
        return of_ranks_[static_cast<std::size_t>(config_.root)].count_wrong(output.const_data_ptr(), count,
                                                                             from);
      case Collective::kSendReceive: {
        const auto after = static_cast<std::size_t>((world_.rank() + 1) % world_.world_size());
        return of_ranks_[after].count_wrong(output.const_data_ptr(), count, from);
      }
      case Collective::kAllGather:
        break;
    }
    const std::int64_t share = count / world_.world_size();
    const auto* data = static_cast<const char*>(output.const_data_ptr());
    std::int64_t wrong = 0;
    for (const SumPattern& theirs : of_ranks_) {
      wrong += theirs.count_wrong(data, share, from);
      data += share * element_bytes();
    }
    return wrong;
  }

  static std::int64_t offset(std::size_t slot) { return static_cast<std::int64_t>(slot) * 17; }

  std::vector<CollectiveRow> make_rows(std::int64_t bytes, std::vector<std::vector<double>>& times,
                                       const std::vector<std::int64_t>& wrong, int turns_of_one) const {
    std::vector<CollectiveRow> rows;
    for (std::size_t i = 0; i < contenders_.size(); ++i) {
      times[i] = world_.slowest(times[i]);
      const std::int64_t all_wrong = world_.total(wrong[i]);
      CollectiveRow row;
      row.contender = contenders_[i]->name();
      row.bytes = bytes;
      // As nccl-tests counts: what a rank gives to or gets from the whole.
      const bool shares =
          config_.collective == Collective::kReduceScatter || config_.collective == Collective::kAllGather;
      row.count = bytes / element_bytes() / (shares ? world_.world_size() : 1);
      row.dtype = config_.dtype;
      row.redop = adds_up(config_.collective) ? "sum" : "none";
      row.root = config_.collective == Collective::kBroadcast ? config_.root : -1;
      row.in_place = config_.in_place;
      row.time_s = spread_of(times[i]);
      const std::int64_t timed = (config_.warmup_iters + config_.iters) * operations_of_turn(bytes);
      row.operations = timed * turns_of_one;
      row.cpu_s = static_cast<double>(world_.total(cpu_ns_[i])) * 1e-9 / static_cast<double>(timed);
      row.wire_bytes = ring_bytes(config_.collective, bytes, world_.world_size());
      if (config_.check != 0 && contenders_[i]->has_result()) row.wrong = all_wrong;
      if (i > 0) row.over_ours = ratio_spread(times[i], times[0]);
      rows.push_back(std::move(row));
    }
    return rows;
  }

  const CollectiveConfig& config_;
  const BenchWorld& world_;
  const std::vector<std::unique_ptr<CollectiveContender>>& contenders_;
  const at::ScalarType dtype_;
  const bool warm_;
  const SumPattern pattern_;          // of this rank's input
  std::vector<SumPattern> of_ranks_;  // of each rank's, where nothing is added up
  std::vector<at::Tensor> outputs_;   // one for each contender
  std::vector<at::Tensor> inputs_;
  std::vector<std::int64_t> cpu_ns_;  // of each contender at the size under way
};

}  // namespace

std::vector<std::int64_t> sizes_of(const CollectiveConfig& config, std::int64_t element_bytes,
                                   int world_size) {
  const bool shares =
      config.collective == Collective::kReduceScatter || config.collective == Collective::kAllGather;
  const std::int64_t least = element_bytes * (shares ? world_size : 1);
  const std::int64_t most = parse_byte_size(config.max_bytes);
  std::vector<std::int64_t> sizes;
  for (std::int64_t size = parse_byte_size(config.min_bytes); size <= most; size *= config.step_factor) {
    if (size < least) {
      throw std::invalid_argument("--min-bytes: \"" + config.min_bytes + "\" is less than one element of " +
                                  config.dtype + (shares ? " of each rank" : "") + "; it must be at least " +
                                  std::to_string(least));
    }
    sizes.push_back(size / least * least);
  }
  return sizes;
}

double measure_harness_s(const CollectiveConfig& config, const BenchWorld& world) {
  CollectiveConfig nothing = config;
  nothing.max_bytes = nothing.min_bytes;
  nothing.buffers = "fresh";
  std::vector<std::unique_ptr<CollectiveContender>> nobody;
  nobody.push_back(std::make_unique<Nobody>());
  const CollectiveResult result = measure_collective(nothing, world, nobody, [](const auto&) {});
  return result.rows.empty() ? 0.0 : result.rows.front().time_s.median;
}

CollectiveResult measure_collective(const CollectiveConfig& config, const BenchWorld& world,
                                    const std::vector<std::unique_ptr<CollectiveContender>>& contenders,
                                    const std::function<void(const std::vector<CollectiveRow>&)>& on_rows) {
  Measurement measurement(config, world, contenders);
  const auto sizes = sizes_of(config, measurement.element_bytes(), world.world_size());
  measurement.allocate(sizes);
  CollectiveResult result;
  for (const std::int64_t bytes : sizes) {
    const auto rows = measurement.measure(bytes);
    if (rows.empty()) {
      result.stopped = true;
      break;
    }
    on_rows(rows);
    result.rows.insert(result.rows.end(), rows.begin(), rows.end());
  }
  return result;
}

bool run_collective_bench(const CollectiveConfig& config, BenchWorld& world) {
  ResultFile json(config.json, "--json", world.rank());
  ResultFile csv(config.csv, "--csv", world.rank());
  const auto contenders = make_collective_contenders(config, world);
  const bool shows = world.rank() == 0;
  if (shows) {
    std::fputs((describe(world.facts()) + collective_header()).c_str(), stdout);
    std::fflush(stdout);
  }
  const CollectiveResult result = measure_collective(config, world, contenders, [&](const auto& rows) {
    for (const CollectiveRow& row : rows) {
      if (shows) std::fputs(format_row(row).c_str(), stdout);
    }
    std::fflush(stdout);
  });
  // On every rank, before rank 0 may meet a file that cannot be written.
  const double harness_s = result.rows.empty() || result.stopped ? 0.0 : measure_harness_s(config, world);
  if (shows && harness_s > 0) std::fputs(format_harness(harness_s, result.rows).c_str(), stdout);
  json.write(collective_json(world.facts(), name_of(config.collective), harness_s, result.rows));
  csv.write(collective_csv(world.facts(), result.rows));
  if (const std::int64_t wrong = count_wrong(result.rows); wrong > 0) {
    throw WrongResult(std::to_string(wrong) + " values were wrong; the rows above say whose");
  }
  return !result.stopped;
}

}  // namespace lockstep

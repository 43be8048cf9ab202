#include "trainer/trace/step_tracer.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>
#include <limits>
#include <utility>
#include <vector>

#include "comm/agreement.h"
#include "comm/traced_collective.h"
#include "trainer/run_dir/atomic_file.h"
#include "trainer/trace/clock_offset.h"
#include "trainer/trace/trace_format.h"

namespace lockstep {
namespace {

constexpr std::int64_t kWarmUpSteps = 5;
constexpr std::size_t kPassages = 10;  // the best of ten barriers is close to the link's latency

std::string host_name() {
  std::array<char, 256> name{};
  gethostname(name.data(), name.size() - 1);
  return name.data();
}

// The same on all processes of a machine that was started once, containers included: they share a clock.
std::string boot_id() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string id;
  std::getline(file, id);
  return id;
}

std::int64_t reduced(std::int64_t value, ReduceOp op, Communicator& communicator) {
  const at::Tensor tensor = at::full({1}, value, at::TensorOptions().dtype(at::kLong));
  communicator.all_reduce(tensor, op)->wait();
  return tensor.item<std::int64_t>();
}

std::vector<BarrierPassage> pass_barriers(Communicator& communicator) {
  std::vector<BarrierPassage> passages(kPassages);
  for (BarrierPassage& passage : passages) {
    passage.enter_ns = TraceRecorder::now_ns();
    communicator.barrier();
    passage.leave_ns = TraceRecorder::now_ns();
  }
  return passages;
}

std::vector<BarrierPassage> passages_of_rank_zero(const std::vector<BarrierPassage>& mine,
                                                  Communicator& communicator) {
  const at::Tensor times =
      at::empty({static_cast<std::int64_t>(2 * kPassages)}, at::TensorOptions().dtype(at::kLong));
  auto* values = times.mutable_data_ptr<std::int64_t>();
  for (std::size_t i = 0; i < kPassages; ++i) {
    values[2 * i] = mine[i].enter_ns;
    values[2 * i + 1] = mine[i].leave_ns;
  }
  communicator.broadcast(times, 0)->wait();
  std::vector<BarrierPassage> theirs(kPassages);
  for (std::size_t i = 0; i < kPassages; ++i) theirs[i] = {values[2 * i], values[2 * i + 1]};
  return theirs;
}

// This rank's clock minus rank 0's; a collective.
ClockOffset offset_to_rank_zero(Communicator& communicator) {
  const std::string id = boot_id();
  const bool shared = !id.empty() && broadcast_text(id, 0, communicator) == id;
  const auto mine = pass_barriers(communicator);
  const ClockOffset measured = clock_offset(mine, passages_of_rank_zero(mine, communicator));
  return shared ? ClockOffset{} : measured;
}

std::string about_clocks(std::int64_t uncertainty_ns) {
  if (uncertainty_ns == 0) return "all ranks read the same clock";
  return "machines' clocks were aligned over barriers, within " + std::to_string(uncertainty_ns / 1000 + 1) +
         " us";
}

std::string about_device_clocks(std::int64_t uncertainty_ns) {
  return "devices' clocks were laid beside their hosts' before and after the steps, within " +
         std::to_string(uncertainty_ns / 1000 + 1) + " us";
}

// Outer events first where two begin together, as viewers expect it.
void sort_for_viewers(std::vector<TraceEvent>& events) {
  std::stable_sort(events.begin(), events.end(), [](const TraceEvent& a, const TraceEvent& b) {
    return a.begin_ns != b.begin_ns ? a.begin_ns < b.begin_ns : a.duration_ns > b.duration_ns;
  });
}

}  // namespace

std::int64_t trace_warm_up(std::int64_t remaining, std::int64_t steps) {
  return std::clamp<std::int64_t>(remaining - steps, 0, kWarmUpSteps);
}

StepTracer::StepTracer(StepTracerOptions options, CommunicatorPtr communicator, StepTimer& timer)
    : options_(std::move(options)), communicator_(std::move(communicator)), timer_(timer) {}

void StepTracer::begin_step(std::int64_t step) {
  step_ = step;
  if (step == options_.first_step) start();
  step_begin_ns_ = TraceRecorder::now_ns();
  if (device_) device_step_begin_ = device_part_begin_ = device_->mark();
}

void StepTracer::start() {
  recording_ = true;
  if (options_.device_moments) set_device(std::make_shared<DeviceTrace>(options_.device_moments));
  timer_.set_observer([this](StepPart part, std::int64_t begin_ns, std::int64_t end_ns) {
    end_part(part, begin_ns, end_ns);
  });
}

void StepTracer::set_device(std::shared_ptr<DeviceTrace> device) {
  device_ = std::move(device);
  recorder_.set_device(device_);
  for (Communicator* communicator : {communicator_.get(), options_.group.get()}) {
    if (auto* traced = dynamic_cast<DeviceTraced*>(communicator)) traced->set_device_trace(device_);
  }
}

// Parts follow each other, so where one ends on the device the next begins.
void StepTracer::end_part(StepPart part, std::int64_t begin_ns, std::int64_t end_ns) {
  const char* name = step_part_name(part);
  recorder_.add({.name = name, .category = "part", .begin_ns = begin_ns, .duration_ns = end_ns - begin_ns});
  if (!device_) return;
  device_part_begin_ = device_->add({.name = name, .category = "device", .line = TraceEvent::kComputeLine},
                                    device_part_begin_);
}

void StepTracer::end_step() {
  if (!recording_) return;
  const std::string name = "step " + std::to_string(step_);
  recorder_.add({.name = name,
                 .category = "step",
                 .begin_ns = step_begin_ns_,
                 .duration_ns = TraceRecorder::now_ns() - step_begin_ns_});
  if (device_)
    device_->add({.name = name, .category = "device", .line = TraceEvent::kComputeLine}, device_step_begin_);
  if (step_ + 1 >= options_.first_step + options_.steps) write();
}

void StepTracer::finish() {
  if (recording_) write();
}

// Returns how closely their times are known.
std::int64_t StepTracer::take_device_events(std::vector<TraceEvent>& events) {
  if (!device_) return 0;
  const std::shared_ptr<DeviceTrace> device = device_;
  set_device(nullptr);
  DeviceTrace::Times times = device->take();
  std::move(times.events.begin(), times.events.end(), std::back_inserter(events));
  return times.uncertainty_ns;
}

void StepTracer::write() {
  recording_ = false;
  timer_.set_observer(nullptr);
  std::vector<TraceEvent> events = recorder_.take();
  const std::int64_t own_device_uncertainty_ns = take_device_events(events);
  sort_for_viewers(events);

  const ClockOffset clock = offset_to_rank_zero(*communicator_);
  const std::int64_t begin =
      events.empty() ? std::numeric_limits<std::int64_t>::max() : events.front().begin_ns - clock.offset_ns;
  const std::int64_t zero = reduced(begin, ReduceOp::kMin, *communicator_);
  const std::int64_t uncertainty_ns = reduced(clock.uncertainty_ns, ReduceOp::kMax, *communicator_);
  const std::int64_t device_uncertainty_ns =
      reduced(own_device_uncertainty_ns, ReduceOp::kMax, *communicator_);
  const int rank = communicator_->rank();
  const std::string mine = to_trace_events({.rank = rank,
                                            .label = "rank " + std::to_string(rank) + " on " + host_name(),
                                            .origin_ns = zero + clock.offset_ns},
                                           events);
  std::vector<std::string> ranks;
  for (int r = 0; r < communicator_->world_size(); ++r) {
    std::string text = broadcast_text(mine, r, *communicator_);
    if (rank == 0) ranks.push_back(std::move(text));
  }
  if (rank != 0) return;
  const std::string steps = std::to_string(options_.first_step) + " to " + std::to_string(step_);
  std::vector<std::pair<std::string, std::string>> metadata{{"program", "lockstep"},
                                                            {"steps", steps},
                                                            {"ranks", std::to_string(ranks.size())},
                                                            {"clocks", about_clocks(uncertainty_ns)}};
  if (device_uncertainty_ns > 0)
    metadata.emplace_back("device_clocks", about_device_clocks(device_uncertainty_ns));
  try {
    write_file_atomically(options_.file, to_trace_file(ranks, metadata));
    options_.say("trace of steps " + steps + " in " + options_.file.string() +
                 ": open it in ui.perfetto.dev");
  } catch (const std::filesystem::filesystem_error& error) {
    options_.warn(std::string("--trace: ") + error.what());
  }
}

}  // namespace lockstep

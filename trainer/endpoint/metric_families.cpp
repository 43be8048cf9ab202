// Names follow prometheus.io/docs/practices/naming: base units, `_total` for what only grows.
#include "trainer/endpoint/metric_families.h"

#include <string>
#include <utility>

namespace lockstep {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

MetricFamily family(const std::string& name, const std::string& help, MetricType type) {
  MetricFamily made;
  made.name = "lockstep_" + name;
  made.help = help;
  made.type = type;
  return made;
}

void add(MetricFamily& to, double value, const MetricsEndpoint::Labels& labels = {}) {
  ClientMetric metric;
  for (const auto& [name, text] : labels) metric.label.push_back({name, text});
  if (to.type == MetricType::Counter) {
    metric.counter.value = value;
  } else {
    metric.gauge.value = value;
  }
  to.metric.push_back(std::move(metric));
}

// Collects families of one metric each.
class Families {
 public:
  void gauge(const std::string& name, const std::string& help, std::optional<double> value,
             const MetricsEndpoint::Labels& labels = {}) {
    if (!value) return;
    add(list.emplace_back(family(name, help, MetricType::Gauge)), *value, labels);
  }
  void counter(const std::string& name, const std::string& help, double value) {
    add(list.emplace_back(family(name, help, MetricType::Counter)), value);
  }
  std::vector<MetricFamily> list;
};

}  // namespace

std::vector<MetricFamily> metric_families(const LiveRun& run) {
  const LiveMetrics& now = run.metrics;
  Families families;
  families.gauge("run_info", "What is trained and where; always 1.", 1.0, run.facts);
  families.gauge("world_size", "Ranks.", run.world_size);
  families.gauge("epoch", "Epoch under way, from 0.", static_cast<double>(now.epoch));
  families.gauge("step", "Optimizer steps done, over all attempts.", static_cast<double>(now.step));
  families.counter("samples_total", "Samples trained on by all ranks, over all attempts.",
                   static_cast<double>(now.samples_seen));
  families.gauge("loss", "Training loss of the last step whose loss was read, averaged over ranks.",
                 now.loss);
  families.gauge("learning_rate", "Learning rate of the last step.", now.lr);
  families.counter("attempt_steps_total", "Optimizer steps done in this attempt.",
                   static_cast<double>(now.times.steps));
  MetricFamily parts =
      family("step_seconds_total", "Time in training steps of this attempt on rank 0, by part.",
             MetricType::Counter);
  for (int i = 0; i < kStepPartCount; ++i) {
    const auto part = static_cast<StepPart>(i);
    add(parts, static_cast<double>(now.times.part_ns(part)) * 1e-9, {{"part", step_part_name(part)}});
  }
  families.list.push_back(std::move(parts));
  families.counter("sent_bytes_total", "Sent by rank 0 for collectives in this attempt.",
                   static_cast<double>(now.bytes_sent));
  families.counter("gpu_hours_total", "GPUs x hours over all attempts; a CPU rank counts as one GPU.",
                   now.spend.gpu_hours);
  if (now.spend.amount) {
    families.gauge("spend", "Money spent over all attempts.", now.spend.amount,
                   {{"currency", now.spend.currency}});
    if (now.to_finish && now.to_finish->amount) {
      families.gauge("projected_spend", "Money that the run will have cost in the end.",
                     *now.spend.amount + *now.to_finish->amount, {{"currency", now.spend.currency}});
    }
  }
  families.gauge("remaining_seconds", "Time until the run is complete, as far as can be told.",
                 now.remaining_s);
  families.counter("checkpoints_total", "Checkpoints written in this attempt.",
                   static_cast<double>(run.checkpoints));
  if (run.evaluation) {
    families.gauge("test_loss", "Loss of the last evaluation.", run.evaluation->loss);
    families.gauge("test_accuracy", "Accuracy of the last evaluation, 0 to 1.", run.evaluation->accuracy);
  }
  return std::move(families.list);
}

std::vector<MetricFamily> metric_families(const std::vector<GpuReading>& gpus) {
  struct Row {
    const char* name;
    const char* help;
    MetricType type;
    std::optional<double> GpuReading::*value;
  };
  using G = GpuReading;
  static constexpr MetricType kGauge = MetricType::Gauge;
  static constexpr MetricType kCounter = MetricType::Counter;
  const Row rows[] = {
      {"gpu_utilization", "Share of time in which a kernel ran, 0 to 1; waiting inside NCCL counts.", kGauge,
       &G::utilization},
      {"gpu_memory_used_bytes", "Device memory in use, by any process.", kGauge, &G::memory_used_bytes},
      {"gpu_memory_total_bytes", "Device memory.", kGauge, &G::memory_total_bytes},
      {"gpu_power_watts", "Power drawn.", kGauge, &G::power_w},
      {"gpu_pcie_sent_bytes_per_second", "Sent over PCIe.", kGauge, &G::pcie_sent_bytes_per_s},
      {"gpu_pcie_received_bytes_per_second", "Received over PCIe.", kGauge, &G::pcie_received_bytes_per_s},
      {"gpu_nvlink_sent_bytes_total", "Sent over all NVLinks.", kCounter, &G::nvlink_sent_bytes},
      {"gpu_nvlink_received_bytes_total", "Received over all NVLinks.", kCounter, &G::nvlink_received_bytes},
  };
  std::vector<MetricFamily> families;
  for (const Row& row : rows) {
    MetricFamily made = family(row.name, row.help, row.type);
    for (const GpuReading& gpu : gpus) {
      if (const auto value = gpu.*row.value)
        add(made, *value, {{"gpu", std::to_string(gpu.index)}, {"name", gpu.name}});
    }
    if (!made.metric.empty()) families.push_back(std::move(made));
  }
  return families;
}

}  // namespace lockstep

#include "trainer/run_sinks.h"

#include <utility>
#include <vector>

namespace lockstep {

RunSinks::RunSinks(const RunDir& run_dir, const TrainConfig& config, const StartRecord& start, Warn warn) {
  if (config.metrics_port > 0) {
    endpoint_.emplace(config.metrics_address, config.metrics_port,
                      MetricsEndpoint::Labels{{"model", start.model},
                                              {"data", start.data},
                                              {"device", start.device},
                                              {"backend", start.backend},
                                              {"precision", start.precision},
                                              {"run_dir", run_dir.root().string()},
                                              {"version", LOCKSTEP_VERSION}},
                      start.world_size, start.device == "cuda" ? Nvml::load() : nullptr);
  }
  if (config.tensorboard) tensorboard_.emplace(run_dir.tensorboard(), start.step, std::move(warn));
}

void RunSinks::stepped(const LiveMetrics& metrics) {
  if (endpoint_) endpoint_->update(metrics);
}

void RunSinks::logged(const TrainRecord& record) {
  if (!tensorboard_) return;
  std::vector<std::pair<std::string, double>> values = {
      {"loss/train", record.loss},
      {"lr", record.lr},
      {"throughput/samples_per_s", record.samples_per_s},
      {"cost/gpu_hours", record.costs.spend.gpu_hours},
      {"time/step_s", record.times.mean_step_s()},
  };
  for (int i = 0; i < kStepPartCount; ++i) {
    const auto part = static_cast<StepPart>(i);
    values.emplace_back(std::string("time/") + step_part_name(part) + "_s", record.times.mean_part_s(part));
  }
  if (record.costs.spend.amount)
    values.emplace_back("cost/spend_" + record.costs.spend.currency, *record.costs.spend.amount);
  if (record.grad_norm) values.emplace_back("grad_norm", *record.grad_norm);
  if (record.loss_scale) values.emplace_back("loss_scale", *record.loss_scale);
  tensorboard_->write(record.step, values);
}

void RunSinks::evaluated(const EvalRecord& record) {
  if (endpoint_) endpoint_->evaluated({record.loss, record.accuracy});
  if (tensorboard_)
    tensorboard_->write(record.step, {{"loss/test", record.loss}, {"accuracy/test", record.accuracy}});
}

void RunSinks::happened(const EventRecord& record) {
  if (endpoint_ && record.event == "checkpoint") endpoint_->saved();
}

}  // namespace lockstep

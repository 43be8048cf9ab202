#include "trainer/metrics/summary.h"

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <string_view>
#include <utility>
#include <vector>

#include "trainer/metrics/number_format.h"

namespace lockstep {
namespace {

constexpr std::size_t kColumns = 80;
constexpr std::size_t kLabelColumns = 14;
constexpr std::size_t kValueColumns = kColumns - kLabelColumns;

// Where to end a line of at most kValueColumns bytes: after a blank if there is one, and never inside a UTF-8
// character.
std::size_t line_length(std::string_view text) {
  if (text.size() <= kValueColumns) return text.size();
  const std::size_t blank = text.substr(0, kValueColumns + 1).rfind(' ');
  if (blank != std::string_view::npos && blank > 0) return blank;
  std::size_t length = kValueColumns;
  while (length > 1 && (static_cast<unsigned char>(text[length]) & 0xc0) == 0x80) --length;
  return length;
}

void add_row(std::string& table, const std::string& label, std::string_view value) {
  if (value.empty()) return;
  std::string indented = label;
  do {
    indented.resize(kLabelColumns, ' ');
    const std::size_t length = line_length(value);
    table += indented.append(value.substr(0, length)) + "\n";
    value.remove_prefix(length);
    if (value.starts_with(' ')) value.remove_prefix(1);
    indented.clear();
  } while (!value.empty());
}

std::string percent(double share, int digits) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f %%", digits, 100.0 * share);
  return text;
}

std::string in_words(std::string name) {
  std::replace(name.begin(), name.end(), '_', ' ');
  return name;
}

std::string step_times(const StepTimes& times) {
  if (times.steps == 0) return {};
  char mean[64];
  std::snprintf(mean, sizeof mean, "%.2f ms:", 1e3 * times.mean_step_s());
  std::string text = mean;
  for (int i = 0; i < kStepPartCount; ++i) {
    const auto part = static_cast<StepPart>(i);
    text += (i > 0 ? ", " : " ") + in_words(step_part_name(part)) + " " + percent(times.share(part), 1);
  }
  return text;
}

std::string test_result(const RunSummary& summary) {
  std::string text;
  if (summary.test_loss) text = "loss " + format_loss(*summary.test_loss);
  if (summary.test_accuracy)
    text += (text.empty() ? "accuracy " : ", accuracy ") + percent(*summary.test_accuracy, 2);
  return text;
}

// Where the attempt went, launch and all; parts below a thousandth are not worth a word.
std::string run_parts(const RunPartTimes& parts) {
  constexpr double kWorthAWord = 0.001;
  const double total_s = parts.total_s();
  std::string text;
  for (int i = 0; i < kRunPartCount && total_s > 0.0; ++i) {
    const auto part = static_cast<RunPart>(i);
    if (parts[part] < kWorthAWord * total_s) continue;
    text +=
        (text.empty() ? "" : ", ") + in_words(run_part_name(part)) + " " + percent(parts[part] / total_s, 1);
  }
  return text;
}

std::string gpu_memory(const RunSummary& summary) {
  if (!summary.peak_device) return {};
  return "at most " + format_bytes(summary.peak_device->allocated_bytes) + " in use, " +
         format_bytes(summary.peak_device->reserved_bytes) + " reserved" +
         (summary.world_size > 1 ? " on rank 0" : "");
}

std::string cost(const RunSummary& summary) {
  const Spend& spend = summary.costs.spend;
  std::string text = format_spend(spend);
  if (summary.per_epoch) text += ", " + format_spend(*summary.per_epoch) + " per epoch";
  if (summary.costs.per_million)
    text += ", " + format_money(*summary.costs.per_million, spend.currency) + " per million " +
            (summary.costs.counts_tokens ? "tokens" : "samples");
  if (spend.amount)
    text += ", " + format_spend(Spend{.gpu_hours = spend.gpu_hours, .amount = {}, .currency = {}});
  if (summary.costs.budget_share) text += ", " + percent(*summary.costs.budget_share, 1) + " of the budget";
  return text;
}

}  // namespace

std::string format_summary(const RunSummary& summary) {
  const std::string rule = std::string(kColumns, '-') + "\n";
  std::string table = rule;
  add_row(table, "model", summary.model + ", " + format_count(summary.num_parameters) + " parameters");
  add_row(table, "data", summary.data);
  add_row(table, "ranks",
          std::to_string(summary.world_size) + " on " + summary.device + ", " + summary.backend + ", " +
              summary.precision +
              (summary.logical_world_size == summary.world_size
                   ? ""
                   : ", as " + std::to_string(summary.logical_world_size) + " logical ranks"));
  add_row(table, "epochs",
          std::to_string(summary.epochs) + " of " + std::to_string(summary.max_epochs) + ", " +
              format_count(summary.steps) + " steps");
  add_row(table, "time", format_duration(summary.elapsed_s) + ", " + format_rate(summary.samples_per_s));
  add_row(table, "a step", step_times(summary.times));
  add_row(table, "GPU memory", gpu_memory(summary));
  add_row(table, "train loss", summary.train_loss ? format_loss(*summary.train_loss) : "");
  add_row(table, "test", test_result(summary));
  add_row(table, "checkpoint", summary.checkpoint);
  add_row(table, "the run", run_parts(summary.parts));
  add_row(table, "cost", cost(summary));
  add_row(table, "fewer ranks", summary.fewer_ranks);
  return table + rule;
}

}  // namespace lockstep

// Only carriage returns and spaces are used to redraw, so that any terminal will do.
#include "trainer/metrics/progress_bar.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>
#include <vector>

#include "trainer/metrics/number_format.h"

namespace lockstep {
namespace {

constexpr double kRedrawInterval_s = 0.1;
constexpr std::size_t kLongestBar = 30;
constexpr std::size_t kShortestBar = 8;

std::string of(std::int64_t done, std::int64_t total) {
  return std::to_string(done) + "/" + std::to_string(total);
}

std::string join(const std::vector<std::string>& fields, const std::string& separator) {
  std::string text;
  for (const std::string& field : fields) {
    if (!field.empty()) text += (text.empty() ? "" : separator) + field;
  }
  return text;
}

// "[=====>    ]", `width` characters in all.
std::string bar_of(const Progress& progress, std::size_t width) {
  const std::int64_t total = std::max<std::int64_t>(progress.batches_per_epoch, 1);
  const double done =
      static_cast<double>(std::clamp<std::int64_t>(progress.batch, 0, total)) / static_cast<double>(total);
  const std::size_t inside = width - 2;
  const auto filled = static_cast<std::size_t>(done * static_cast<double>(inside));
  std::string bar(1, '[');
  bar.append(filled, '=');
  if (filled < inside) bar += '>';
  bar.resize(width - 1, ' ');
  return bar + ']';
}

// The parts of both forms, in the order in which they are shown.
struct Fields {
  std::string epoch, batch, loss, rate, time, money;
};

// Rounded up, to tenths below 10 %: nothing is 0 % where something is spent. 100 % is all of it, or more.
std::string percent(double share) {
  const double tenths = std::ceil(1000.0 * share - 1e-9) / 10.0;
  if (tenths >= 10.0) return std::to_string(static_cast<long long>(std::ceil(100.0 * share - 1e-9))) + "%";
  char text[16];
  std::snprintf(text, sizeof text, "%.1f%%", tenths);
  return text;
}

Fields fields_in_words(const Progress& progress) {
  Fields fields;
  fields.epoch = "epoch " + of(progress.epoch + 1, progress.max_epochs);
  fields.batch = "batch " + of(progress.batch, progress.batches_per_epoch);
  if (progress.loss) fields.loss = "loss " + format_loss(*progress.loss);
  fields.rate = format_rate(progress.samples_per_s);
  fields.time = format_duration(progress.elapsed_s) + " elapsed";
  const Costs& costs = progress.costs;
  if (costs.remaining_s) fields.time += ", " + format_duration(*costs.remaining_s) + " left";
  fields.money = format_spend(costs.spend) + " so far";
  if (costs.to_finish) fields.money += ", " + format_spend(*costs.to_finish) + " to finish";
  if (costs.budget_share) fields.money += ", " + percent(*costs.budget_share) + " of the budget";
  return fields;
}

Fields fields_with_all_money(const Progress& progress) {
  Fields fields = fields_in_words(progress);
  const Costs& costs = progress.costs;
  const std::string& currency = costs.spend.currency;
  if (costs.per_epoch) fields.money += ", " + format_money(*costs.per_epoch, currency) + " per epoch";
  if (costs.per_million)
    fields.money += ", " + format_money(*costs.per_million, currency) + " per million " +
                    (costs.counts_tokens ? "tokens" : "samples");
  return fields;
}

Fields fields_in_short(const Progress& progress) {
  Fields fields = fields_in_words(progress);
  fields.batch = of(progress.batch, progress.batches_per_epoch);
  fields.rate = fields.rate.substr(0, fields.rate.find(' ')) + "/s";
  fields.time = format_duration(progress.elapsed_s);
  const Costs& costs = progress.costs;
  if (costs.remaining_s) fields.time += "+" + format_duration(*costs.remaining_s);
  fields.money = format_spend(costs.spend);
  if (costs.to_finish) fields.money += "+" + format_spend(*costs.to_finish);
  if (costs.budget_share) fields.money += " " + percent(*costs.budget_share);
  return fields;
}

std::string join_all(const Fields& fields, const std::string& separator, const std::string& bar = "") {
  return join({fields.epoch, bar, fields.batch, fields.loss, fields.rate, fields.time, fields.money},
              separator);
}

}  // namespace

std::string format_progress_bar(const Progress& progress, int columns) {
  if (columns <= 1) return {};
  const auto room = static_cast<std::size_t>(columns - 1);
  const auto with_bar = [&](const Fields& fields, const std::string& separator) -> std::string {
    const std::size_t taken = join_all(fields, separator).size() + separator.size();
    if (taken + kShortestBar > room) return {};
    return join_all(fields, separator, bar_of(progress, std::min(kLongestBar, room - taken)));
  };
  if (std::string text = with_bar(fields_with_all_money(progress), "  "); !text.empty()) return text;
  if (std::string text = with_bar(fields_in_words(progress), "  "); !text.empty()) return text;
  Fields fields = fields_in_short(progress);
  if (std::string text = with_bar(fields, " "); !text.empty()) return text;
  for (std::string* const least_important :
       {&fields.rate, &fields.epoch, &fields.money, &fields.time, &fields.loss}) {
    if (std::string text = join_all(fields, " "); text.size() <= room) return text;
    least_important->clear();
  }
  return fields.batch.substr(0, room);
}

std::string format_progress_line(const Progress& progress) {
  return join_all(fields_with_all_money(progress), ", ");
}

ProgressBar::ProgressBar(int columns, std::FILE* out, Clock clock)
    : columns_(columns), out_(out), clock_(std::move(clock)) {}

ProgressBar::~ProgressBar() {
  finish();
}

bool ProgressBar::due() const {
  return columns_ > 0 && (!drawn_at_s_ || clock_() - *drawn_at_s_ >= kRedrawInterval_s);
}

void ProgressBar::update(const Progress& progress) {
  if (!due()) return;
  drawn_at_s_ = clock_();
  std::string bar = format_progress_bar(progress, columns_);
  // Spaces cover what was longer before.
  const std::size_t left_over = drawn_.size() > bar.size() ? drawn_.size() - bar.size() : 0;
  put("\r" + bar + std::string(left_over, ' ') + (left_over > 0 ? "\r" + bar : ""));
  drawn_ = std::move(bar);
}

void ProgressBar::log(const Progress& progress) {
  if (columns_ <= 0) put(format_progress_line(progress) + "\n");
}

void ProgressBar::print_above(const std::string& line) {
  const std::string bar = drawn_;
  finish();
  put(line + "\n" + bar);
  drawn_ = bar;
}

void ProgressBar::finish() {
  if (drawn_.empty()) return;
  put("\r" + std::string(drawn_.size(), ' ') + "\r");
  drawn_.clear();
  drawn_at_s_.reset();
}

void ProgressBar::put(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), out_);
  std::fflush(out_);
}

double ProgressBar::monotonic_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace lockstep

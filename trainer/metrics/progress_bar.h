// ProgressBar: how far a run is, on rank 0's terminal, or as plain lines where there is none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <optional>
#include <string>

#include "trainer/metrics/costs.h"

namespace lockstep {

struct Progress {
  std::int64_t epoch = 0;  // counts from 0; printed from 1
  std::int64_t max_epochs = 1;
  std::int64_t batch = 0;  // batches done in this epoch
  std::int64_t batches_per_epoch = 0;
  std::optional<double> loss;
  double samples_per_s = 0.0;  // all ranks together
  double elapsed_s = 0.0;      // over the whole run
  Costs costs;
};

// The bar for a terminal of `columns`: at most columns - 1 characters, all ASCII. The widest of these that
// fits: everything in words; the same with only what is spent and still to come of the money; everything in
// short ("0:32+1:05" and "$0.01+$0.03": so far, and still to come; "40%": of the budget); then without the
// rate, the epoch, the money, the time, the loss.
std::string format_progress_bar(const Progress& progress, int columns);
// The same as a line for a log, however long.
std::string format_progress_line(const Progress& progress);

// Not thread-safe. What cannot be written (the terminal was closed) is left out silently: training goes on.
class ProgressBar {
 public:
  using Clock = std::function<double()>;  // seconds since some moment; never goes back

  // `columns`: the terminal's width; 0: no terminal. `out` must outlive the bar.
  ProgressBar(int columns, std::FILE* out, Clock clock = monotonic_seconds);
  ~ProgressBar();  // as finish()
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  // For every step. Draws the bar, at most ten times a second; does nothing without a terminal. due() tells,
  // at the price of reading a clock, whether update() would draw.
  bool due() const;
  void update(const Progress& progress);
  // For every logging interval. Prints a plain line; does nothing on a terminal.
  void log(const Progress& progress);
  // Prints `line`, and on a terminal keeps the bar below it.
  void print_above(const std::string& line);
  // Removes the bar, so that whatever is printed next stands on a clean line; update() draws it anew.
  void finish();

  static double monotonic_seconds();

 private:
  void put(const std::string& text);

  int columns_;
  std::FILE* out_;
  Clock clock_;
  std::optional<double> drawn_at_s_;
  std::string drawn_;  // what is on the terminal's last line; empty if nothing
};

}  // namespace lockstep

// TeamLedger: what all runs of a team have spent in a month, in one file that they share (--budget-ledger).
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace lockstep {

// One JSON object a line: {"month", "run", "attempt", "amount", "currency"}; the line of a run's attempt in a
// month is replaced as it goes on. Whoever changes the file holds a lock on FILE.lock, and puts a whole new
// file in its place. Months are UTC's. Not thread-safe.
class TeamLedger {
 public:
  // `run`: what tells this run from others, such as its folder's absolute path.
  TeamLedger(std::filesystem::path file, std::string run, int attempt, std::string currency);

  // Notes that this attempt has cost `amount` so far, and returns what the month has cost beyond it: others'
  // runs, and this run's earlier attempts. What an attempt has spent in a month before stays in that one.
  // Throws DataError, with the line, for a file that cannot be used, or that somebody else holds for 10 s.
  double exchange(double amount, double unix_s);

  // What all have spent in the month, without changing anything. No file: nothing.
  static double spent(const std::filesystem::path& file, const std::string& currency, double unix_s);

  // The runs that stand in it, the newest first. No file: none.
  static std::vector<std::string> runs(const std::filesystem::path& file);

  // What is in other currencies this month is left out of all sums; what there was, as "912.00 CNY"; empty if
  // nothing.
  const std::string& left_out() const { return left_out_; }

 private:
  std::filesystem::path file_;
  std::string run_;
  int attempt_;
  std::string currency_;
  std::string month_;          // of the last exchange
  double last_amount_ = 0.0;   // then
  double before_month_ = 0.0;  // what the attempt had spent when the month began
  std::string left_out_;
};

}  // namespace lockstep

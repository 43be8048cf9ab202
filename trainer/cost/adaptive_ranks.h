// --adaptive-ranks: when a run goes on with fewer ranks, because its loss has fallen or no longer falls.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace lockstep {

// CONDITION:RANKS. Losses are means over kLossWindow steps running, plateau's over its own number of them.
struct RanksRule {
  enum class Kind {
    kBelow,    // loss<X: below X
    kFallen,   // loss<P%: below P % of the first mean with this many ranks
    kPlateau,  // plateau(STEPS,SHARE): the mean over STEPS steps is less than SHARE below that of those
               // before
  };
  static constexpr std::int64_t kLossWindow = 50;

  Kind kind = Kind::kBelow;
  double value = 0.0;  // kBelow: the loss; kFallen, kPlateau: a share
  std::int64_t window = kLossWindow;
  int ranks = 1;     // to go on with, at most
  std::string text;  // the condition as it was written
};

// Rules with commas between them. Throws std::invalid_argument, naming the rule and what would be right.
std::vector<RanksRule> parse_adaptive_ranks(const std::string& text);

// Says with how many ranks an attempt should go on. The means begin anew with each attempt. Not thread-safe.
class RanksAdvisor {
 public:
  // A number of ranks is the largest divisor of `logical_world_size` that a rule allows; rules that would
  // leave `world_size` ranks or more are passed over.
  RanksAdvisor(const std::vector<RanksRule>& rules, int world_size, int logical_world_size);

  // The training loss of a step, in the order of steps; those of some steps may be missing.
  void observe(std::int64_t step, double loss);
  // The fewest of all rules that have been fulfilled; 0: as many as now.
  int ranks() const { return ranks_; }
  const std::string& condition() const { return condition_; }  // that it was

 private:
  struct Watch {
    RanksRule rule;
    int ranks = 0;
    std::optional<std::int64_t> first_step = {};  // of the window that is being filled
    double sum = 0.0;
    std::int64_t count = 0;
    std::optional<double> reference = {};  // kFallen: the first mean; kPlateau: the one before
  };
  static bool is_fulfilled(Watch& watch, double mean);

  std::vector<Watch> watches_;
  int ranks_ = 0;
  std::string condition_;
};

}  // namespace lockstep

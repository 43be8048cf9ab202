// The decision word: the one thing that all ranks agree on at the end of every step (docs/contracts.md).
#pragma once

#include <cstdint>
#include <string>

namespace lockstep {

// Each rank votes with the bits that it asks for; the agreed word is the union over ranks. New reasons to act
// together are new bits here, never a vote of their own.
enum class DecisionFlag : std::uint32_t {
  kPause = 1u << 0,          // somebody asked for a pause: save, exit 10
  kBudget = 1u << 1,         // the budget is reached: save, exit 12
  kEarlyStop = 1u << 2,      // nothing improves any more: save, exit 0
  kNonFiniteLoss = 1u << 3,  // a rank's loss is NaN or infinite: stop before the update, exit 3
  kDrift = 1u << 4,          // parameters differ between ranks: stop, exit 11
  kFailure = 1u << 5,        // a rank cannot go on: stop, exit 11
  kSave = 1u << 6,           // a save is due by the clock: save, go on
  kFewerRanks = 1u << 7,     // the loss has come to what --adaptive-ranks waits for: save, exit 10
};
inline constexpr int kDecisionFlagCount = 8;

// A set of DecisionFlags.
class Decision {
 public:
  void add(DecisionFlag flag) { word_ |= static_cast<std::uint32_t>(flag); }
  bool has(DecisionFlag flag) const { return (word_ & static_cast<std::uint32_t>(flag)) != 0; }
  bool empty() const { return word_ == 0; }
  std::uint32_t word() const { return word_; }

 private:
  std::uint32_t word_ = 0;
};

}  // namespace lockstep

// When a Trainer has to stop for its bill's sake, and how.
#include "comm/agreement.h"
#include "trainer/signals.h"
#include "trainer/trainer.h"

namespace lockstep {

bool Trainer::wants_pause() const {
  return pause_requested() || (reporter_ && reporter_->is_off_peak_over());
}

// For the launcher, which waits until the off-peak hours begin again; but not for a user who has asked.
std::string Trainer::pause_reason() const {
  return !pause_requested() && reporter_ && reporter_->is_off_peak_over() ? "off_peak" : "paused";
}

// All ranks have agreed on it, and the run is saved.
ExitCode Trainer::end_for_budget() {
  return end(ExitCode::kBudget, reporter_ ? reporter_->stop_reason() : "");
}

// After an evaluation that was abandoned: only rank 0 knows whether the budget was why.
ExitCode Trainer::end_abandoned() {
  const char* why = reporter_ && reporter_->is_at_mark() ? "budget" : "pause";
  return broadcast_text(why, 0, *communicator_) == "budget" ? end_for_budget()
                                                            : end(ExitCode::kPaused, pause_reason());
}

}  // namespace lockstep

// How a Trainer ends when its budget is reached.
#include "comm/agreement.h"
#include "trainer/trainer.h"

namespace lockstep {

// All ranks have agreed on it, and the run is saved.
ExitCode Trainer::end_for_budget() {
  return end(ExitCode::kBudget, reporter_ ? reporter_->stop_reason() : "");
}

// After an evaluation that was abandoned: only rank 0 knows whether the budget was why.
ExitCode Trainer::end_abandoned() {
  const char* why = reporter_ && reporter_->is_at_mark() ? "budget" : "pause";
  return broadcast_text(why, 0, *communicator_) == "budget" ? end_for_budget()
                                                            : end(ExitCode::kPaused, "paused");
}

}  // namespace lockstep

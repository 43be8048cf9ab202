// How a rank is told to pause. Signals belong to the launcher, which passes on SIGUSR1; a SIGTERM or SIGINT
// that reaches a rank by another way asks for the same, and the launcher or scheduler that sent it sets the
// deadline.
#pragma once

namespace lockstep {

// From now on SIGUSR1, SIGTERM and SIGINT ask for a pause. A second SIGINT ends the process at once.
void install_pause_signals();
// True once one of them has arrived. Cheap: to be asked every step.
bool pause_requested();

}  // namespace lockstep

// How a rank is told to pause.
#pragma once

namespace lockstep {

// From now on SIGUSR1 asks for a pause; it is unblocked, since the launcher starts ranks with it blocked, so
// that an early request is not lost. Without a launcher SIGTERM and SIGINT ask for the same, and a
// SIGINT after any of them ends the process at once; with one they keep their meaning: it, or mpirun, wants
// this process gone.
void install_pause_signals(bool under_launcher);
// Asks for the same. From any thread.
void request_pause();
// True once one of them has arrived. Cheap: to be asked every step.
bool pause_requested();

}  // namespace lockstep

// Transport over MPI point-to-point messages.
#pragma once

#include <memory>

#include "comm/placement.h"
#include "comm/transport.h"

namespace lockstep {

// Initialises MPI on the calling thread, which must then be the only one to use and to drop the transport.
// Only to be called where placement.mpi_launched(); throws std::invalid_argument if MPI's world is not the
// one that the environment describes (exit code 2), CommError if MPI cannot be had.
//
// A program that uses MPI itself initialises it before, with MPI_THREAD_SERIALIZED at least, and finalises it
// after close(); the transport then takes MPI as it finds it. Its own thread is inside MPI only while a
// collective of ours is under way, and at the start and the end: at those times the program must stay out of
// MPI.
//
// Otherwise close() finalises MPI, which waits for the peers; a process that fails leaves that out, and its
// launcher ends the job.
std::unique_ptr<Transport> make_mpi_transport(const Placement& placement);

}  // namespace lockstep

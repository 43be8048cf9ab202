// What `lockstep doctor` starts on each host (`lockstep doctor-agent`); host_messages.h has its side of the
// talk.
#pragma once

#include <iosfwd>

#include "launch/doctor/probe_source.h"

namespace lockstep {

// Returns when `input` ends. Throws DataError for a request that is none.
void run_doctor_agent(const ProbeSource& source, std::istream& input, std::ostream& output);

}  // namespace lockstep

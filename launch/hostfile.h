// Open MPI's list of machines: one host a line, possibly with slots=N; # starts a comment.
#pragma once

#include <filesystem>

namespace lockstep {

// Different hosts in the file. Throws DataError if it cannot be read or names none.
int count_hosts(const std::filesystem::path& file);

}  // namespace lockstep

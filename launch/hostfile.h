// Open MPI's list of machines: one host a line, possibly with slots=N; # starts a comment.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace lockstep {

// Different hosts in the file. Throws DataError if it cannot be read or names none.
int count_hosts(const std::filesystem::path& file);
// Their names, in order of appearance. Throws DataError likewise.
std::vector<std::string> host_names(const std::filesystem::path& file);
// The file's lines of some of its hosts, given by their order of appearance, in their order here. Throws
// DataError.
std::string lines_of_hosts(const std::filesystem::path& file, const std::vector<int>& hosts);

}  // namespace lockstep

// Where programs are: beside this one, or on the PATH.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace lockstep {

// The file this process runs. Throws std::filesystem::filesystem_error without /proc.
std::filesystem::path own_program();

// The first executable file of that name in `path`, a list as in PATH. Empty and relative folders are passed
// over: what they mean depends on where one stands.
std::optional<std::filesystem::path> find_on_path(const std::string& name, const std::string& path);

bool is_executable_file(const std::filesystem::path& file);

}  // namespace lockstep

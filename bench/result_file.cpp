#include "bench/result_file.h"

#include <cerrno>
#include <cstring>
#include <fstream>

#include "sampler/data_error.h"

namespace lockstep {
namespace {

[[noreturn]] void refuse(const std::string& option, const std::string& path) {
  throw DataError(option + ": " + path + " cannot be written (" + std::strerror(errno) +
                  "); name a file in a folder that is there and can be written");
}

}  // namespace

ResultFile::ResultFile(std::string path, std::string option, int rank)
    : path_(rank == 0 ? std::move(path) : std::string()), option_(std::move(option)) {
  if (path_.empty()) return;
  errno = 0;
  if (!std::ofstream(path_, std::ios::app)) refuse(option_, path_);
}

void ResultFile::write(const std::string& text) const {
  if (path_.empty()) return;
  errno = 0;
  std::ofstream file(path_);
  file << text;
  file.close();
  if (!file) refuse(option_, path_);
}

}  // namespace lockstep

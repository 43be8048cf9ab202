#include "sampler/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "sampler/data_error.h"

namespace lockstep {
namespace {

// Closes on every way out of the constructor.
struct Descriptor {
  int number;
  ~Descriptor() {
    if (number >= 0) close(number);
  }
};

}  // namespace

MappedFile::MappedFile(std::filesystem::path path) : path_(std::move(path)) {
  const auto fail = [this](const std::string& what) { throw DataError(path_.string() + ": " + what); };
  const auto system_error = [] { return std::string(" (") + std::strerror(errno) + ")"; };
  // Not blocking: a named pipe would wait for a writer before it can be refused.
  const Descriptor file{open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (file.number < 0) fail("cannot be opened" + system_error());
  struct stat status = {};
  if (fstat(file.number, &status) != 0) fail("cannot be read" + system_error());
  if (!S_ISREG(status.st_mode)) fail("is not a regular file");
  if (status.st_size == 0) fail("is empty");
  const auto size = static_cast<std::size_t>(status.st_size);
  void* const begin = mmap(nullptr, size, PROT_READ, MAP_SHARED, file.number, 0);
  if (begin == MAP_FAILED) fail("cannot be mapped into memory" + system_error());
  bytes_ = {static_cast<const std::uint8_t*>(begin), size};
}

MappedFile::~MappedFile() {
  munmap(const_cast<std::uint8_t*>(bytes_.data()), bytes_.size());
}

}  // namespace lockstep

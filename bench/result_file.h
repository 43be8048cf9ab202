// A file of results that rank 0 writes at the end, and that is known to be writable at the start.
#pragma once

#include <string>

namespace lockstep {

class ResultFile {
 public:
  // Opens `path` for appending, so that an old result stays until a new one is there; an empty path stands
  // for no file. `option` names it in an error. Does nothing on other ranks than 0. Throws DataError if it
  // cannot be written.
  ResultFile(std::string path, std::string option, int rank);
  // Replaces the file's content. Throws DataError.
  void write(const std::string& text) const;

 private:
  std::string path_;
  std::string option_;
};

}  // namespace lockstep

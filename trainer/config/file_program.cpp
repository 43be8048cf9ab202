#include "trainer/config/file_program.h"

#include <cstdio>
#include <stdexcept>

#include "sampler/data_error.h"
#include "trainer/config/flags.h"

namespace lockstep {
namespace {

int fail(ExitCode code, const char* message) {
  std::fprintf(stderr, "lockstep: error: %s\n", message);
  return static_cast<int>(code);
}

}  // namespace

int run_file_program(int argc, char** argv, const std::function<std::string()>& help,
                     const std::function<ExitCode(const std::vector<std::string>& arguments)>& body) {
  try {
    const std::vector<std::string> arguments(argv + 1, argv + argc);
    if (asks_for_help(arguments)) {
      std::fputs(help().c_str(), stdout);
      return static_cast<int>(ExitCode::kFinished);
    }
    return static_cast<int>(body(arguments));
  } catch (const std::invalid_argument& error) {
    return fail(ExitCode::kUsage, error.what());
  } catch (const DataError& error) {
    return fail(ExitCode::kBadInput, error.what());
  } catch (const std::exception& error) {
    return fail(ExitCode::kPeerFailed, error.what());
  }
}

}  // namespace lockstep

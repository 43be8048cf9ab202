#include "launch/file_command.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "launch/program_path.h"
#include "sampler/data_error.h"
#include "trainer/config/estimate_config.h"
#include "trainer/config/file_commands.h"

namespace lockstep {
namespace {

int become(const char* name, const std::vector<std::string>& arguments) {
  const std::string program = (own_program().parent_path() / name).string();
  std::vector<char*> argv = {const_cast<char*>(program.c_str())};  // execv's own signature, from before const
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  execv(program.c_str(), argv.data());
  throw DataError(program + " cannot be started (" + std::strerror(errno) +
                  "); it must stand beside lockstep: build or install it again");
}

}  // namespace

int run_export_command(const std::vector<std::string>& arguments) {
  parse_export_command(arguments);
  return become("lockstep-export", arguments);
}

int run_compare_command(const std::vector<std::string>& arguments) {
  parse_compare_command(arguments);
  return become("lockstep-compare", arguments);
}

int run_estimate_command(const std::vector<std::string>& arguments) {
  parse_estimate_command(arguments);
  return become("lockstep-estimate", arguments);
}

std::string export_command_help(const std::vector<std::string>& /*arguments*/) {
  return export_help();
}

std::string compare_command_help(const std::vector<std::string>& /*arguments*/) {
  return compare_help();
}

std::string estimate_command_help(const std::vector<std::string>& /*arguments*/) {
  return estimate_help();
}

}  // namespace lockstep

#include "launch/doctor_command.h"

#include <chrono>
#include <iostream>

#include "launch/doctor/doctor_config.h"
#include "launch/doctor/host_agent.h"
#include "launch/doctor/host_check.h"
#include "launch/doctor/machine_check.h"
#include "launch/program_path.h"
#include "trainer/run_dir/exit_code.h"

namespace lockstep {
namespace {

std::vector<Section> examine(const DoctorConfig& config) {
  const ProbeSource source;
  if (config.hosts.empty()) return {{"this machine", check_this_machine(source, config.run_dir).findings}};
  std::vector<Section> sections = {
      {"this machine, as the launcher's", check_launcher(source, config.run_dir)}};
  const auto mpirun = find_on_path("mpirun", source.variable("PATH"));
  if (!mpirun) return sections;  // which is among the launcher's findings
  const std::chrono::duration<double> timeout(config.timeout_s);
  for (Section& section : judge_hosts(
           ask_hosts(config.hosts, *mpirun, std::chrono::duration_cast<std::chrono::milliseconds>(timeout))))
    sections.push_back(std::move(section));
  return sections;
}

}  // namespace

int run_doctor_command(const std::vector<std::string>& arguments) {
  const DoctorConfig config = parse_doctor_command(arguments);
  const auto sections = examine(config);
  std::cout << (config.json ? to_json_text(sections) : to_text(sections)) << std::flush;
  return static_cast<int>(count(sections, Verdict::kFailure) > 0 ? ExitCode::kDifference
                                                                 : ExitCode::kFinished);
}

std::string doctor_command_help(const std::vector<std::string>& /*arguments*/) {
  return doctor_help();
}

int run_doctor_agent_command(const std::vector<std::string>& /*arguments*/) {
  run_doctor_agent(ProbeSource(), std::cin, std::cout);
  return 0;
}

}  // namespace lockstep

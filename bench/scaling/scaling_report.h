// The report of a study of scaling: one HTML file without network.
#pragma once

#include <filesystem>
#include <string>

#include "bench/scaling/study_findings.h"

namespace lockstep {

// `command`: what makes the same study and report again; it is shown.
std::string scaling_report(const Study& study, const Findings& findings, const ScalingConfig& config,
                           const Price& price, const std::string& command);

// Throws DataError if `output` cannot be written; a report that was there stays then.
void write_scaling_report(const Study& study, const Findings& findings, const ScalingConfig& config,
                          const Price& price, const std::string& command,
                          const std::filesystem::path& output);

}  // namespace lockstep

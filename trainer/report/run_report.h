// report.html: curves, where time and money went, and what happened, of one run or of several beside each
// other.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "trainer/report/run_record.h"

namespace lockstep {

// Of each run the curves hold at most this many log steps: the smallest and the largest loss of each stretch.
inline constexpr std::size_t kMostReportPoints = 4000;

// `command`: what makes the same report again; it is shown.
std::string run_report(const std::vector<RunRecord>& runs, const std::string& command);

// Throws DataError if `output` cannot be written; a report that was there stays then.
void write_run_report(const std::vector<RunRecord>& runs, const std::filesystem::path& output,
                      const std::string& command);

}  // namespace lockstep

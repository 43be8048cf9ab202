#include "trainer/config/file_commands.h"

#include <filesystem>
#include <stdexcept>

#include "sampler/data_error.h"
#include "trainer/config/help_text.h"
#include "trainer/config/option.h"
#include "trainer/config/set_flags.h"

namespace lockstep {
namespace {

constexpr const char* kGroup = "Options";

Rule newest_or_step() {
  return {"-1 (the newest) or a step from 0", integer_between(-1, kMostInt64).accepts};
}

const std::vector<Option<ExportConfig>>& export_options() {
  using C = ExportConfig;
  static const std::vector<Option<C>> options = {
      {"to", kGroup, &C::to, "FILE",
       "What to write: NAME.safetensors gets the weights, any other name what torch.load opens", any_line(),
       "SOURCE/step_N.pt"},
      {"step", kGroup, &C::step, "N", "Step of the run's checkpoint to export; -1: the newest",
       newest_or_step()},
  };
  return options;
}

const std::vector<Option<CompareConfig>>& compare_options() {
  using C = CompareConfig;
  static const std::vector<Option<C>> options = {
      {"step", kGroup, &C::step, "N",
       "Step of the runs' checkpoints to compare; -1: the newest, of two runs the newest that both have",
       newest_or_step()},
      {"json", kGroup, &C::json, "", "Print one JSON object instead of lines for people", true_or_false()},
  };
  return options;
}

const std::vector<Option<ReportConfig>>& report_options() {
  using C = ReportConfig;
  static const std::vector<Option<C>> options = {
      {"output", kGroup, &C::output, "FILE", "What to write", any_line(),
       "RUN_DIR/report.html; of several runs report.html"},
  };
  return options;
}

// Takes the leading arguments that are no flags, `least` to `most` of them.
std::vector<std::string> take_files(std::vector<std::string>& arguments, std::size_t least, std::size_t most,
                                    const std::string& usage) {
  std::vector<std::string> files;
  while (files.size() < most && !arguments.empty() && !arguments.front().starts_with("--")) {
    files.push_back(arguments.front());
    arguments.erase(arguments.begin());
  }
  if (files.size() < least) throw std::invalid_argument("a file or folder is missing; " + usage);
  for (const std::string& file : files) {
    std::error_code error;
    if (!std::filesystem::exists(file, error)) {
      throw DataError(file + " is not there" + (error ? " (" + error.message() + ")" : "") +
                      "; name a file or folder that is");
    }
  }
  return files;
}

const std::string kExportUsage = "usage: lockstep export RUN_DIR|CHECKPOINT [--to FILE] [--step N]";
const std::string kCompareUsage = "usage: lockstep compare A B [--step N] [--json]";
const std::string kReportUsage = "usage: lockstep report RUN_DIR... [--output FILE]";
constexpr std::size_t kMostRuns = 100;

}  // namespace

ExportConfig parse_export_command(const std::vector<std::string>& arguments) {
  std::vector<std::string> flags = arguments;
  ExportConfig config;
  config.source = take_files(flags, 1, 1, kExportUsage)[0];
  set_flags(export_options(), flags, config);
  return config;
}

CompareConfig parse_compare_command(const std::vector<std::string>& arguments) {
  std::vector<std::string> flags = arguments;
  CompareConfig config;
  const auto files = take_files(flags, 2, 2, kCompareUsage);
  config.a = files[0];
  config.b = files[1];
  set_flags(compare_options(), flags, config);
  return config;
}

ReportConfig parse_report_command(const std::vector<std::string>& arguments) {
  std::vector<std::string> flags = arguments;
  ReportConfig config;
  config.run_dirs = take_files(flags, 1, kMostRuns, kReportUsage);
  set_flags(report_options(), flags, config);
  return config;
}

std::string export_help() {
  return kExportUsage +
         "\n\nWrites a checkpoint for Python: weights, torch.optim's state_dict(), the scheduler's, step,\n"
         "position and random states. `lockstep train --init-from FILE` takes it, too.\n" +
         format_help(help_entries(export_options())) +
         "\nExit codes: 0 written, 2 usage, 3 no checkpoint that loads, or FILE cannot be written.\n";
}

std::string compare_help() {
  return kCompareUsage +
         "\n\nA and B: run folders, checkpoint folders, .safetensors files, torch.save files, or logs with "
         "a\n"
         "{\"step\": ..., \"loss\": ...} a line. Compares to the bit what both have: losses, weights, and "
         "the\n"
         "hashes of --record-hashes; names the first thing that differs, how much does, and by how much.\n" +
         format_help(help_entries(compare_options())) +
         "\nExit codes: 0 equal, 1 different, 2 usage, 3 a file that cannot be read, or nothing to "
         "compare.\n";
}

std::string report_help() {
  return kReportUsage +
         "\n\nWrites one HTML file that needs no network: curves of loss, accuracy and throughput, where "
         "time\n"
         "and money went, what happened when, and the options; of several runs beside each other. A run\n"
         "writes its own when it ends (lockstep train --no-report: it does not).\n" +
         format_help(help_entries(report_options())) +
         "\nExit codes: 0 written, 2 usage, 3 no run in RUN_DIR, or FILE cannot be written.\n";
}

}  // namespace lockstep

// A machine for the probes of `lockstep doctor`: a folder with the files that a test gives it.
#pragma once

#include <map>
#include <string>

#include "launch/doctor/finding.h"
#include "launch/doctor/probe_source.h"
#include "tests/temporary_folder.h"

namespace lockstep {

class FakeMachine {
 public:
  explicit FakeMachine(const std::map<std::string, std::string>& files = {}, Environment environment = {}) {
    for (const auto& [name, text] : files) write(name, text);
    source_.root = folder_.path();
    source_.environment = std::move(environment);
  }
  FakeMachine& write(const std::string& name, const std::string& text) {
    std::filesystem::create_directories((folder_.path() / name).parent_path());
    write_text(folder_.path() / name, text);
    return *this;
  }
  ProbeSource& source() { return source_; }
  const std::filesystem::path& folder() const { return folder_.path(); }

 private:
  TemporaryFolder folder_;
  ProbeSource source_;
};

// "warning: 64 bytes", a line for each finding.
inline std::string shown(const Finding& finding) {
  const char* verdict = finding.verdict == Verdict::kOk        ? "ok: "
                        : finding.verdict == Verdict::kWarning ? "warning: "
                                                               : "failure: ";
  return std::string(verdict) + finding.what;
}

inline std::string shown(const Findings& findings) {
  std::string text;
  for (const Finding& finding : findings) text += std::string(text.empty() ? "" : "\n") + shown(finding);
  return text;
}

}  // namespace lockstep

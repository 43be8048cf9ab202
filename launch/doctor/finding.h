// What `lockstep doctor` finds: one line each, with the remedy where something is wrong.
#pragma once

#include <string>
#include <vector>

namespace lockstep {

enum class Verdict { kOk, kWarning, kFailure };

struct Finding {
  std::string topic;  // "driver", "shared memory", ...
  Verdict verdict = Verdict::kOk;
  std::string what;    // one line
  std::string remedy;  // empty for kOk
};

using Findings = std::vector<Finding>;

Finding ok(std::string topic, std::string what);
Finding warning(std::string topic, std::string what, std::string remedy);
Finding failure(std::string topic, std::string what, std::string remedy);

// What was found in one place: "this machine", or a host.
struct Section {
  std::string host;
  Findings findings;
};

int count(const std::vector<Section>& sections, Verdict verdict);

std::string to_text(const std::vector<Section>& sections);
std::string to_json_text(const std::vector<Section>& sections);

// Without the host, for the way from one machine to another. from_json() throws DataError for what is none.
std::string to_json_text(const Findings& findings);
Findings findings_from_json(const std::string& text);

}  // namespace lockstep

#include "launch/doctor/finding.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "sampler/data_error.h"

namespace lockstep {
namespace {

using nlohmann::ordered_json;

constexpr std::array kNames = {"ok", "warning", "failure"};  // in Verdict's order

const char* name_of(Verdict verdict) {
  return kNames[static_cast<std::size_t>(verdict)];
}

Verdict verdict_named(const std::string& name) {
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    if (name == kNames[i]) return static_cast<Verdict>(i);
  }
  throw DataError("a finding's verdict is " + name + "; it must be ok, warning or failure");
}

ordered_json to_json(const Findings& findings) {
  ordered_json list = ordered_json::array();
  for (const Finding& finding : findings) {
    ordered_json entry = {
        {"topic", finding.topic}, {"verdict", name_of(finding.verdict)}, {"what", finding.what}};
    if (!finding.remedy.empty()) entry["remedy"] = finding.remedy;
    list.push_back(std::move(entry));
  }
  return list;
}

// Names of interfaces, versions and the like are what other programs wrote.
std::string dump(const ordered_json& json, int indent) {
  return json.dump(indent, ' ', false, ordered_json::error_handler_t::replace);
}

std::string padded(std::string text, std::size_t width) {
  text.resize(std::max(width, text.size()), ' ');
  return text;
}

std::string counted(int number, const std::string& what) {
  return std::to_string(number) + " " + what + (number == 1 ? "" : "s");
}

}  // namespace

Finding ok(std::string topic, std::string what) {
  return {std::move(topic), Verdict::kOk, std::move(what), {}};
}

Finding warning(std::string topic, std::string what, std::string remedy) {
  return {std::move(topic), Verdict::kWarning, std::move(what), std::move(remedy)};
}

Finding failure(std::string topic, std::string what, std::string remedy) {
  return {std::move(topic), Verdict::kFailure, std::move(what), std::move(remedy)};
}

int count(const std::vector<Section>& sections, Verdict verdict) {
  int number = 0;
  for (const Section& section : sections) {
    number +=
        static_cast<int>(std::count_if(section.findings.begin(), section.findings.end(),
                                       [&](const Finding& finding) { return finding.verdict == verdict; }));
  }
  return number;
}

std::string to_text(const std::vector<Section>& sections) {
  constexpr std::size_t kVerdictColumns = 9;
  constexpr std::size_t kTopicColumns = 16;
  std::string text;
  for (const Section& section : sections) {
    text += (text.empty() ? "" : "\n") + section.host + "\n";
    for (const Finding& finding : section.findings) {
      text += "  " + padded(name_of(finding.verdict), kVerdictColumns) +
              padded(finding.topic, kTopicColumns) + " " + finding.what;
      if (!finding.remedy.empty()) text += "; " + finding.remedy;
      text += "\n";
    }
  }
  const int failures = count(sections, Verdict::kFailure);
  return text + "\n" + counted(failures, "failure") + ", " +
         counted(count(sections, Verdict::kWarning), "warning") + ", " +
         std::to_string(count(sections, Verdict::kOk)) + " ok\n";
}

std::string to_json_text(const std::vector<Section>& sections) {
  ordered_json hosts = ordered_json::array();
  for (const Section& section : sections)
    hosts.push_back({{"host", section.host}, {"findings", to_json(section.findings)}});
  return dump({{"failures", count(sections, Verdict::kFailure)},
               {"warnings", count(sections, Verdict::kWarning)},
               {"ok", count(sections, Verdict::kOk)},
               {"hosts", hosts}},
              2) +
         "\n";
}

std::string to_json_text(const Findings& findings) {
  return dump(to_json(findings), -1);
}

Findings findings_from_json(const std::string& text) {
  try {
    Findings findings;
    for (const auto& entry : nlohmann::json::parse(text)) {
      findings.push_back({entry.at("topic").get<std::string>(),
                          verdict_named(entry.at("verdict").get<std::string>()),
                          entry.at("what").get<std::string>(), entry.value("remedy", "")});
    }
    return findings;
  } catch (const nlohmann::json::exception&) {
    throw DataError("a host's findings are not what lockstep doctor writes; it must be this version there");
  }
}

}  // namespace lockstep

#include "trainer/compare/step_hashes.h"

#include <fstream>
#include <nlohmann/json.hpp>

#include "sampler/data_error.h"

namespace lockstep {
namespace {

using Json = nlohmann::ordered_json;
// A stage as names and hashes, flat.
using Stage = std::vector<std::pair<std::string, std::string>>;

StepHashes to_hashes(const Json& line) {
  StepHashes hashes;
  hashes.inputs = line.at("inputs").get<std::vector<std::string>>();
  for (const auto& [name, ranks] : line.at("gradients").items())
    hashes.gradients.emplace_back(name, ranks.get<std::vector<std::string>>());
  for (const auto& [name, hash] : line.at("reduced").items())
    hashes.reduced.emplace_back(name, hash.get<std::string>());
  for (const auto& [name, hash] : line.at("weights").items())
    hashes.weights.emplace_back(name, hash.get<std::string>());
  return hashes;
}

std::vector<std::pair<std::string, Stage>> stages_of(const StepHashes& hashes) {
  Stage inputs, gradients;
  for (std::size_t rank = 0; rank < hashes.inputs.size(); ++rank)
    inputs.emplace_back("rank " + std::to_string(rank), hashes.inputs[rank]);
  for (const auto& [name, ranks] : hashes.gradients) {
    for (std::size_t rank = 0; rank < ranks.size(); ++rank)
      gradients.emplace_back(name + " of rank " + std::to_string(rank), ranks[rank]);
  }
  return {{"inputs", inputs},
          {"gradients", gradients},
          {"reduced gradients", hashes.reduced},
          {"weights", hashes.weights}};
}

// Both name the same things, perhaps in another order: Python's state_dict() has buffers between parameters.
void require_same_names(const Stage& a, const std::map<std::string, std::string>& b, const std::string& stage,
                        std::int64_t step) {
  for (const auto& [name, hash] : a) {
    if (b.contains(name) && a.size() == b.size()) continue;
    throw DataError("the hashes of step " + std::to_string(step) + " are of other " + stage + ": " +
                    std::to_string(a.size()) + " in A, " + std::to_string(b.size()) + " in B" +
                    (b.contains(name) ? "" : ", where " + name + " is not among them") +
                    "; compare runs of one model on one number of ranks");
  }
}

}  // namespace

std::map<std::int64_t, StepHashes> read_hashes(const std::filesystem::path& file) {
  std::ifstream input(file, std::ios::binary);
  if (!input) throw DataError(file.string() + " cannot be read");
  std::map<std::int64_t, StepHashes> steps;
  std::string text;
  for (std::int64_t number = 1; std::getline(input, text); ++number) {
    const bool torn = input.eof();
    const Json line = Json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (line.is_discarded() && torn) break;
    try {
      steps[line.at("step").get<std::int64_t>()] = to_hashes(line);
    } catch (const Json::exception&) {
      throw DataError(file.string() + ":" + std::to_string(number) +
                      ": this is no line of hashes, with step, inputs, gradients, reduced and weights");
    }
  }
  return steps;
}

HashDifference compare_hashes(const std::map<std::int64_t, StepHashes>& a,
                              const std::map<std::int64_t, StepHashes>& b) {
  HashDifference found;
  for (const auto& [step, hashes] : a) {
    const auto other = b.find(step);
    if (other == b.end()) {
      ++found.only_in_a;
      continue;
    }
    ++found.steps;
    if (found.step) continue;
    const auto ours = stages_of(hashes), theirs = stages_of(other->second);
    for (std::size_t s = 0; s < ours.size() && !found.step; ++s) {
      const auto& [stage, pairs] = ours[s];
      const std::map<std::string, std::string> by_name(theirs[s].second.begin(), theirs[s].second.end());
      require_same_names(pairs, by_name, stage, step);
      for (const auto& [name, hash] : pairs) {
        if (by_name.at(name) == hash) continue;
        ++found.different_in_stage;
        if (found.step) continue;
        found.step = step;
        found.stage = stage;
        found.what = name;
        found.in_stage = static_cast<std::int64_t>(pairs.size());
      }
    }
  }
  found.only_in_b = static_cast<std::int64_t>(b.size()) - found.steps;
  return found;
}

}  // namespace lockstep

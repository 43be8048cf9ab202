#include "trainer/compare/step_losses.h"

#include <bit>
#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>

#include "sampler/data_error.h"

namespace lockstep {
namespace {

[[noreturn]] void refuse(const std::filesystem::path& file, std::int64_t line, const std::string& reason) {
  throw DataError(file.string() + ":" + std::to_string(line) + ": " + reason +
                  "; a line must be a JSON object such as {\"step\": 1, \"loss\": 2.3}");
}

double distance(const LossPair& pair) {
  const double apart = std::abs(pair.a - pair.b);
  return std::isnan(apart) ? std::numeric_limits<double>::infinity() : apart;
}

}  // namespace

StepLosses read_losses(const std::filesystem::path& file) {
  std::ifstream input(file, std::ios::binary);
  if (!input) throw DataError(file.string() + " cannot be read");
  StepLosses losses;
  std::string text;
  for (std::int64_t line = 1; std::getline(input, text); ++line) {
    const bool torn = input.eof();
    if (text.find_first_not_of(" \t\r") == std::string::npos) continue;
    const auto record = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (record.is_discarded() && torn) break;
    if (!record.is_object()) refuse(file, line, "this is no JSON object");
    const auto loss = record.find("loss");
    // Lines of metrics.jsonl name their kind; only those of training steps count.
    const auto kind = record.find("kind");
    if (loss == record.end() || (kind != record.end() && *kind != "train")) continue;
    const auto step = record.find("step");
    if (step == record.end() || !step->is_number_integer()) refuse(file, line, "\"step\" is no whole number");
    if (!loss->is_number() && !loss->is_null()) refuse(file, line, "\"loss\" is no number");
    losses[step->get<std::int64_t>()] =
        loss->is_null() ? std::numeric_limits<double>::quiet_NaN() : loss->get<double>();
  }
  return losses;
}

LossDifference compare_losses(const StepLosses& a, const StepLosses& b) {
  LossDifference found;
  for (const auto& [step, loss] : a) {
    const auto other = b.find(step);
    if (other == b.end()) {
      ++found.only_in_a;
      continue;
    }
    ++found.steps;
    if (std::bit_cast<std::uint64_t>(loss) == std::bit_cast<std::uint64_t>(other->second)) continue;
    ++found.steps_different;
    const LossPair pair{step, loss, other->second};
    if (!found.first) found.first = pair;
    if (!found.largest || distance(pair) > distance(*found.largest)) found.largest = pair;
  }
  found.only_in_b = static_cast<std::int64_t>(b.size()) - found.steps;
  return found;
}

}  // namespace lockstep

#include "trainer/compare/comparison_report.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "trainer/config/option_value.h"

namespace lockstep {
namespace {

using Json = nlohmann::ordered_json;

std::string number(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  return to_text(value);
}

// JSON has neither NaN nor infinity.
Json json_number(double value) {
  return std::isfinite(value) ? Json(value) : Json(number(value));
}

std::string listed(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

std::string place(const ElementPair& pair) {
  std::string index;
  for (const std::int64_t i : pair.index) index += (index.empty() ? "" : ", ") + std::to_string(i);
  return pair.tensor + "[" + index + "]";
}

std::string both(const ElementPair& pair) {
  return place(pair) + ", " + number(pair.a) + " and " + number(pair.b);
}

std::string losses_text(const LossDifference& losses) {
  std::string text = "losses   ";
  if (losses.equal()) {
    text += "equal in " + std::to_string(losses.steps) + " steps";
  } else {
    text += "different in " + std::to_string(losses.steps_different) + " of " + std::to_string(losses.steps) +
            " steps\n         first at step " + std::to_string(losses.first->step) + ": " +
            number(losses.first->a) + " and " + number(losses.first->b) + "\n         most at step " +
            std::to_string(losses.largest->step) + ": " + number(losses.largest->a) + " and " +
            number(losses.largest->b) + ", " + number(std::abs(losses.largest->a - losses.largest->b)) +
            " apart";
  }
  if (losses.only_in_a > 0) text += "\n         only in A: " + std::to_string(losses.only_in_a) + " steps";
  if (losses.only_in_b > 0) text += "\n         only in B: " + std::to_string(losses.only_in_b) + " steps";
  return text + "\n";
}

std::string weights_text(const Comparison& comparison) {
  const TensorDifference& weights = *comparison.weights;
  std::string text = "weights  ";
  if (weights.equal()) {
    text += "equal in " + std::to_string(weights.tensors) + " tensors, " + std::to_string(weights.elements) +
            " elements";
  } else {
    text += "different in " + std::to_string(weights.tensors_different) + " of " +
            std::to_string(weights.tensors) + " tensors, " + std::to_string(weights.elements_different) +
            " of " + std::to_string(weights.elements) + " elements";
  }
  if (comparison.step_a) text += ", A's of step " + std::to_string(*comparison.step_a);
  if (comparison.step_b) text += ", B's of step " + std::to_string(*comparison.step_b);
  if (weights.first) text += "\n         first at " + both(*weights.first);
  if (weights.largest_ulps_at) {
    text += "\n         " + std::to_string(weights.largest_ulps) + " ulps at most, at " +
            both(*weights.largest_ulps_at) + "\n         " + number(weights.largest_absolute) +
            " apart at most, at " + both(*weights.largest_absolute_at);
  }
  if (weights.not_a_number > 0)
    text += "\n         not a number in one of them: " + std::to_string(weights.not_a_number) + " elements";
  if (!weights.only_in_a.empty()) text += "\n         only in A: " + listed(weights.only_in_a);
  if (!weights.only_in_b.empty()) text += "\n         only in B: " + listed(weights.only_in_b);
  if (!weights.misshapen.empty()) text += "\n         misshapen: " + listed(weights.misshapen);
  return text + "\n";
}

std::string hashes_text(const HashDifference& hashes) {
  std::string text = "hashes   ";
  if (hashes.equal()) {
    text += "equal in " + std::to_string(hashes.steps) + " steps";
  } else {
    text += "the first difference is in step " + std::to_string(*hashes.step) + ", " + hashes.stage + ": " +
            hashes.what + " (and " + std::to_string(hashes.different_in_stage - 1) + " more of " +
            std::to_string(hashes.in_stage) + ")";
  }
  if (hashes.only_in_a > 0) text += "\n         only in A: " + std::to_string(hashes.only_in_a) + " steps";
  if (hashes.only_in_b > 0) text += "\n         only in B: " + std::to_string(hashes.only_in_b) + " steps";
  return text + "\n";
}

Json to_json(const LossPair& pair) {
  return {{"step", pair.step}, {"a", json_number(pair.a)}, {"b", json_number(pair.b)}};
}

Json to_json(const ElementPair& pair) {
  return {
      {"tensor", pair.tensor}, {"index", pair.index}, {"a", json_number(pair.a)}, {"b", json_number(pair.b)}};
}

Json to_json(const LossDifference& losses) {
  Json json = {{"steps", losses.steps},
               {"steps_different", losses.steps_different},
               {"only_in_a", losses.only_in_a},
               {"only_in_b", losses.only_in_b}};
  if (losses.first) json["first"] = to_json(*losses.first);
  if (losses.largest) json["largest"] = to_json(*losses.largest);
  return json;
}

Json to_json(const TensorDifference& weights) {
  Json json = {
      {"tensors", weights.tensors},           {"tensors_different", weights.tensors_different},
      {"elements", weights.elements},         {"elements_different", weights.elements_different},
      {"not_a_number", weights.not_a_number}, {"only_in_a", weights.only_in_a},
      {"only_in_b", weights.only_in_b},       {"misshapen", weights.misshapen},
      {"largest_ulps", weights.largest_ulps}, {"largest_absolute", json_number(weights.largest_absolute)}};
  if (weights.first) json["first"] = to_json(*weights.first);
  if (weights.largest_ulps_at) json["largest_ulps_at"] = to_json(*weights.largest_ulps_at);
  if (weights.largest_absolute_at) json["largest_absolute_at"] = to_json(*weights.largest_absolute_at);
  return json;
}

Json to_json(const HashDifference& hashes) {
  Json json = {{"steps", hashes.steps}, {"only_in_a", hashes.only_in_a}, {"only_in_b", hashes.only_in_b}};
  if (hashes.step) {
    json["first"] = {{"step", *hashes.step},
                     {"stage", hashes.stage},
                     {"what", hashes.what},
                     {"different_in_stage", hashes.different_in_stage},
                     {"in_stage", hashes.in_stage}};
  }
  return json;
}

}  // namespace

std::string comparison_text(const Comparison& comparison) {
  std::string text;
  if (comparison.hashes) text += hashes_text(*comparison.hashes);
  if (comparison.losses) text += losses_text(*comparison.losses);
  if (comparison.weights) text += weights_text(comparison);
  for (const std::string& kind : comparison.not_compared)
    text += kind + std::string(9 - kind.size(), ' ') + "not compared: no step of them is in both\n";
  return text + (comparison.equal() ? "equal\n" : "different\n");
}

std::string comparison_json(const Comparison& comparison) {
  Json json = {{"a", comparison.a}, {"b", comparison.b}, {"equal", comparison.equal()}};
  if (comparison.hashes) json["hashes"] = to_json(*comparison.hashes);
  if (comparison.losses) json["losses"] = to_json(*comparison.losses);
  if (comparison.weights) json["weights"] = to_json(*comparison.weights);
  json["not_compared"] = comparison.not_compared;
  if (comparison.step_a) json["step_a"] = *comparison.step_a;
  if (comparison.step_b) json["step_b"] = *comparison.step_b;
  // Bytes that are no UTF-8 (a path may hold any) are replaced.
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace lockstep

#include "bench/scaling/step_model.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "sampler/data_error.h"

namespace lockstep {
namespace {

using Json = nlohmann::ordered_json;

double seconds_at(const Json& json, const char* key) {
  const Json& value = json.at(key);
  if (!value.is_number() || !(value.get<double>() >= 0.0))
    throw std::invalid_argument(std::string(key) + " must be a number of seconds from 0");
  return value.get<double>();
}

std::vector<GradientArrival> arrivals_of(const Json& json, double backward_s) {
  std::vector<GradientArrival> arrivals;
  for (const Json& pair : json.at("arrivals")) {
    const GradientArrival arrival{pair.at(0).get<double>(), pair.at(1).get<std::int64_t>()};
    const double before_s = arrivals.empty() ? 0.0 : arrivals.back().ready_s;
    if (!(arrival.ready_s >= before_s && arrival.ready_s <= backward_s) || arrival.bytes < 1) {
      throw std::invalid_argument(
          "arrivals must be [seconds, bytes] in the order of time, none after backward_s, with at least one "
          "byte");
    }
    arrivals.push_back(arrival);
  }
  if (arrivals.empty()) throw std::invalid_argument("arrivals must name at least one gradient");
  return arrivals;
}

double harmonic_number_less_one(int n) {
  double sum = 0.0;
  for (int i = 2; i <= n; ++i) sum += 1.0 / i;
  return sum;
}

}  // namespace

std::int64_t StepProfile::gradient_bytes() const {
  std::int64_t bytes = 0;
  for (const GradientArrival& arrival : arrivals) bytes += arrival.bytes;
  return bytes;
}

StepPrediction predict_step(const StepProfile& profile, const LinkModel& all_reduce, Exchange exchange) {
  constexpr std::int64_t kNoCap = std::numeric_limits<std::int64_t>::max();
  const bool at_the_end = exchange == Exchange::kAfterBackward;
  StepPrediction prediction;
  prediction.buckets =
      bucket_timeline(profile.arrivals, all_reduce, at_the_end ? kNoCap : kPytorchFirstCapBytes,
                      at_the_end ? kNoCap : kPytorchCapBytes);
  if (at_the_end && !prediction.buckets.empty()) {
    BucketSpan& all = prediction.buckets.back();
    const double wait_s = profile.backward_s - all.begin_s;
    all.begin_s += wait_s;
    all.end_s += wait_s;
  }
  const double last_s = prediction.buckets.empty() ? 0.0 : prediction.buckets.back().end_s;
  prediction.exposed_s = std::max(0.0, last_s - profile.backward_s);
  prediction.step_s = profile.step_s() + prediction.exposed_s;
  return prediction;
}

double straggling_s(double mean_s, int ranks) {
  return mean_s * harmonic_number_less_one(ranks);
}

double mean_delay_s(double waited_s, int ranks) {
  return std::max(0.0, waited_s) / harmonic_number_less_one(ranks);
}

std::string to_json_text(const StepProfile& profile) {
  Json json = {{"workload", profile.workload},       {"batch_size", profile.batch_size},
               {"forward_s", profile.forward_s},     {"backward_s", profile.backward_s},
               {"optimizer_s", profile.optimizer_s}, {"arrivals", Json::array()}};
  for (const GradientArrival& arrival : profile.arrivals)
    json["arrivals"].push_back({arrival.ready_s, arrival.bytes});
  return json.dump() + "\n";
}

StepProfile step_profile_from_json_text(const std::string& text) {
  try {
    const Json json = Json::parse(text);
    StepProfile profile;
    profile.workload = json.at("workload").get<std::string>();
    profile.batch_size = json.at("batch_size").get<std::int64_t>();
    profile.forward_s = seconds_at(json, "forward_s");
    profile.backward_s = seconds_at(json, "backward_s");
    profile.optimizer_s = seconds_at(json, "optimizer_s");
    profile.arrivals = arrivals_of(json, profile.backward_s);
    return profile;
  } catch (const nlohmann::json::exception& error) {
    throw std::invalid_argument(error.what());
  }
}

StepProfile read_step_profile(const std::string& file) {
  std::ifstream stream(file);
  const std::string text{std::istreambuf_iterator<char>(stream), {}};
  if (!stream) throw DataError("step profile " + file + " cannot be read");
  try {
    return step_profile_from_json_text(text);
  } catch (const std::invalid_argument& error) {
    throw DataError("step profile " + file + " is none (" + error.what() +
                    "); `lockstep bench step --record-profile` writes one");
  }
}

}  // namespace lockstep

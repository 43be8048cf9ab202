#include "bench/config/scaling_config.h"

#include <algorithm>
#include <set>
#include <stdexcept>

#include "bench/config/text_values.h"
#include "bench/config/wire_rate.h"
#include "trainer/config/help_text.h"
#include "trainer/config/option.h"
#include "trainer/config/set_flags.h"

namespace lockstep {
namespace {

constexpr std::int64_t kMostRanks = 250;  // hosts of one wire

Rule list_of_links() {
  return {"shared-memory, unshaped or rates such as 10gbit, with commas between them and each at most once",
          [](const OptionValue& value) {
            const auto* text = std::get_if<std::string>(&value);
            if (text == nullptr) return false;
            std::set<std::string> seen;
            const auto words = split_list(*text);
            return !words.empty() && std::all_of(words.begin(), words.end(), [&](const std::string& word) {
              return (word == kSharedMemoryLink || is_wire_rate(word)) && seen.insert(word).second;
            });
          }};
}

Rule list_of_ranks() {
  return {"numbers of ranks from 1 to 250 with commas between them, each at most once, such as 1,2,4",
          [](const OptionValue& value) {
            if (!list_of_sizes().accepts(value)) return false;
            const auto sizes = parse_sizes(std::get<std::string>(value));
            return *std::max_element(sizes.begin(), sizes.end()) <= kMostRanks &&
                   std::set<std::int64_t>(sizes.begin(), sizes.end()).size() == sizes.size();
          }};
}

std::vector<std::string> model_names() {
  std::vector<std::string> names = {"mlp"};
  for (const Workload& workload : named_workloads()) names.push_back(workload.name);
  return names;
}

const std::vector<Option<ScalingConfig>>& scaling_options() {
  using C = ScalingConfig;
  constexpr const char* kWhat = "What is measured";
  constexpr const char* kHow = "How it is measured";
  constexpr const char* kAsked = "What is reckoned from it";
  constexpr const char* kLeaves = "What it leaves behind";
  static const std::vector<Option<C>> options = {
      {"ranks", kWhat, &C::ranks, "NUMBERS", "Numbers of ranks", list_of_ranks()},
      {"links", kWhat, &C::links, "NAMES",
       "Between the ranks: shared-memory, and wires between network namespaces, one for each rank: a rate "
       "such as 10gbit, or unshaped (root, iproute2)",
       list_of_links()},
      {"model", kWhat, &C::model, "NAMES", "Workloads of `lockstep bench step`, or mlp for mlp-512",
       list_of(model_names())},
      {"mode", kWhat, &C::mode, "NAME",
       "weak: every rank has the workload's batch; strong: all ranks together have it",
       one_of({"weak", "strong"})},
      {"compare", kWhat, &C::compare, "NAME", "Measured beside us: pytorch (PyTorch DDP, and its Gloo)",
       list_of({"pytorch"})},
      {"rounds", kHow, &C::rounds, "N", "Rounds of steps that are timed", integer_between(1, 10'000)},
      {"iters", kHow, &C::iters, "N", "Rounds of all-reduces that are timed", integer_between(1, 10'000)},
      {"max-bytes", kHow, &C::max_bytes, "SIZE", "Largest all-reduce; K, M and G are powers of 1024",
       byte_size()},
      {"timeout", kHow, &C::timeout_s, "SECONDS", "Longest wait of a rank for another, seconds",
       number_above_zero(1e6)},
      {"python", kHow, &C::python, "FILE", "Python interpreter with PyTorch for --compare pytorch",
       any_line(), "the one Lockstep was built with, else python3"},
      {"max-ranks", kAsked, &C::max_ranks, "N", "Predict up to so many ranks", integer_between(2, 1 << 20)},
      {"ranks-per-host", kAsked, &C::ranks_per_host, "N",
       "Ranks of a host in the prediction; they exchange over shared memory, where that is among --links",
       integer_between(1, 4096)},
      {"samples-per-epoch", kAsked, &C::samples_per_epoch, "N", "Samples of an epoch; ImageNet-1k's",
       integer_between(1, std::int64_t{1} << 50)},
      {"price-per-gpu-hour", kAsked, &C::price_per_gpu_hour, "X",
       "Price of one rank's device for an hour; wins over the table; 0: unknown, or the table's",
       number_not_negative()},
      {"currency", kAsked, &C::currency, "CODE", "Currency of prices", some_line()},
      {"gpu-type", kAsked, &C::gpu_type, "NAME", "Take the price of this GPU from the price table",
       any_line()},
      {"price-table", kAsked, &C::price_table, "FILE", "Price table, as `lockstep train` takes it",
       any_line(), "the installed one"},
      {"region", kAsked, &C::region, "NAME", "Region of the price table; without it the cheapest",
       any_line()},
      {"spot", kAsked, &C::spot, "", "Take the table's spot price", true_or_false()},
      {"output", kLeaves, &C::output, "DIR",
       "Every finished measurement; the same command goes on from what is there", some_line()},
      {"report", kLeaves, &C::report, "FILE", "The report, one HTML file", any_line(), "DIR/scaling.html"},
      {"mix-machines", kLeaves, &C::mix_machines, "", "Accept measurements of another machine in DIR",
       true_or_false()},
  };
  return options;
}

void check_contradictions(const ScalingConfig& config) {
  const auto ranks = ranks_of(config);
  std::set<std::string> names;
  for (const Workload& workload : workloads_of(config)) {
    if (!names.insert(workload.name).second)
      throw std::invalid_argument("--model: " + quoted(config.model) + " names " + workload.name + " twice");
  }
  if (names.empty()) throw std::invalid_argument("--model: at least one is needed");
  if (config.mode == "strong") {
    for (const Workload& workload : workloads_of(config)) {
      for (const int count : ranks) {
        if (workload.batch_size % count == 0) continue;
        throw std::invalid_argument("--mode strong: the batch of " + workload.name + ", " +
                                    std::to_string(workload.batch_size) + ", is not divided by " +
                                    std::to_string(count) + " ranks; choose other --ranks");
      }
    }
  }
  if (parse_byte_size(config.max_bytes) < (1 << 20))
    throw std::invalid_argument("--max-bytes: " + quoted(config.max_bytes) + " must be at least 1M");
  const bool needs_gpu = !config.price_table.empty() || !config.region.empty() || config.spot;
  if (needs_gpu && config.gpu_type.empty()) {
    throw std::invalid_argument(
        "--price-table, --region and --spot need --gpu-type NAME: the row of the price table that is meant");
  }
}

}  // namespace

ScalingConfig parse_scaling_command(const std::vector<std::string>& arguments) {
  ScalingConfig config;
  set_flags(scaling_options(), arguments, config);
  check_contradictions(config);
  return config;
}

std::string scaling_help() {
  return "usage: lockstep bench scaling [--name value ...]\n\n"
         "Runs `lockstep bench all-reduce` and `lockstep bench step` over numbers of ranks and links, fits "
         "the "
         "links' latency and\nbandwidth, predicts the step at more ranks, tests the prediction where it was "
         "measured, and writes a report.\nInterrupted, the same command goes on; wires are taken down "
         "whatever happens.\n" +
         format_help(help_entries(scaling_options())) +
         "\nExit codes: 0 finished, 2 usage, 3 bad input, 10 stopped on request, 11 some measurements "
         "failed.\n";
}

std::vector<int> ranks_of(const ScalingConfig& config) {
  std::vector<int> ranks;
  for (const std::int64_t count : parse_sizes(config.ranks)) ranks.push_back(static_cast<int>(count));
  std::sort(ranks.begin(), ranks.end());
  return ranks;
}

std::vector<std::string> links_of(const ScalingConfig& config) {
  return split_list(config.links);
}

std::vector<Workload> workloads_of(const ScalingConfig& config) {
  std::vector<Workload> workloads;
  for (const std::string& name : split_list(config.model)) {
    const std::string full = name == "mlp" ? "mlp-512" : name;
    const auto& known = named_workloads();
    workloads.push_back(*std::find_if(known.begin(), known.end(),
                                      [&](const Workload& workload) { return workload.name == full; }));
  }
  return workloads;
}

}  // namespace lockstep

#include "trainer/config/estimate_config.h"

#include "trainer/config/command_line.h"
#include "trainer/config/option.h"
#include "trainer/config/train_options.h"

namespace lockstep {
namespace {

const std::vector<Option<EstimateConfig>>& estimate_options() {
  using C = EstimateConfig;
  constexpr const char* kGroup = "What is asked";
  static const std::vector<Option<C>> options = {
      {"nproc-per-node", kGroup, &C::nproc_per_node, "N", "GPUs of each machine, one rank each",
       integer_between(1, 4096)},
      {"nnodes", kGroup, &C::nnodes, "N", "Machines", integer_between(1, 65536)},
      {"efficiency", kGroup, &C::efficiency, "SHARE",
       "Share of a GPU's peak that training attains, communication included: an assumption, which "
       "`lockstep bench step` can check",
       Rule{"a number above 0, at most 1", number_above_zero(1).accepts}},
      {"json", kGroup, &C::json, "", "Print one JSON object instead of lines for people", true_or_false()},
  };
  return options;
}

}  // namespace

EstimateConfig parse_estimate_command(const std::vector<std::string>& arguments) {
  std::vector<FlagSpec> specs = train_flag_specs();
  for (const auto& option : estimate_options())
    specs.push_back({option.name, option.kind() == OptionKind::kSwitch});
  EstimateConfig config;
  std::vector<Flag> train_flags;
  std::vector<Flag> table_flags;
  for (const Flag& flag : split_flags(arguments, specs)) {
    if (const auto* option = find_option(estimate_options(), flag.name)) {
      option->set_text(config, flag.value, "--" + flag.name);
    } else if (flag.name == "price-table" || flag.name == "region" || flag.name == "spot") {
      table_flags.push_back(flag);
    } else {
      train_flags.push_back(flag);
    }
  }
  config.train = resolve_train_config(train_flags);
  // A run needs --gpu-type to go with them; here all of the table's rows are meant.
  for (const Flag& flag : table_flags)
    find_option(train_options(), flag.name)->set_text(config.train, flag.value, "--" + flag.name);
  return config;
}

std::string estimate_help() {
  return "usage: lockstep estimate [--name value ...]\n\n"
         "Takes the options of `lockstep train`, and says before anything is rented how much memory a rank "
         "of\n"
         "that run takes, by part; on which GPUs it fits, and with which batch at most; how long it would "
         "take\n"
         "there, and what it would cost. A few steps with small batches on this machine's CPU tell the\n"
         "activations and the arithmetic. Without the data at hand: --data synthetic, or "
         "synthetic-tokens.\n" +
         format_help(help_entries(estimate_options())) + format_help(train_help_entries()) +
         "\nExit codes: 0 estimated, 2 usage, 3 data that cannot be read.\n";
}

}  // namespace lockstep

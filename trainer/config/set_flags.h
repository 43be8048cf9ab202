// A command's flags as values of its configuration.
#pragma once

#include <string>
#include <vector>

#include "trainer/config/flags.h"
#include "trainer/config/option.h"

namespace lockstep {

// Throws std::invalid_argument as split_flags() does, and for a value that breaks its option's rule.
template <class Config>
void set_flags(const std::vector<Option<Config>>& options, const std::vector<std::string>& arguments,
               Config& config) {
  std::vector<FlagSpec> specs;
  for (const auto& option : options) specs.push_back({option.name, option.kind() == OptionKind::kSwitch});
  for (const Flag& flag : split_flags(arguments, specs))
    find_option(options, flag.name)->set_text(config, flag.value, "--" + flag.name);
}

}  // namespace lockstep

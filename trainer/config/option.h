// Option: one row of a program's option table, the one source for its flag, its key in a TOML file, its help
// and its check. A Config is a plain struct of options; its default member values are the options' defaults.
#pragma once

#include <cstdint>
#include <string>
#include <type_traits>
#include <variant>
#include <vector>

#include "trainer/config/option_value.h"

namespace lockstep {

template <class Config>
struct Option {
  using Member = std::variant<bool Config::*, int Config::*, std::int64_t Config::*, std::uint64_t Config::*,
                              double Config::*, std::string Config::*>;

  std::string name;   // as in --name, with dashes
  std::string group;  // heading in the help
  Member member;
  std::string value_name;         // in the help, for example N; empty for a switch
  std::string help;               // a sentence with the unit
  Rule rule;                      // of an integer member: lies within its type's range
  std::string default_text = {};  // in the help, where the default is no plain value
  bool same_on_all_ranks = true;  // false: ranks may differ in it, and the start-up check leaves it out
  bool recorded = true;           // false: asks for something once, and is left out of config.toml

  OptionKind kind() const { return static_cast<OptionKind>(get(Config{}).index()); }

  OptionValue get(const Config& config) const {
    return std::visit(
        [&](auto pointer) -> OptionValue {
          using Value = std::decay_t<decltype(config.*pointer)>;
          if constexpr (std::is_integral_v<Value> && !std::is_same_v<Value, bool>) {
            return static_cast<std::int64_t>(config.*pointer);
          } else {
            return config.*pointer;
          }
        },
        member);
  }

  // `where` names the source of the value in an error. Throws std::invalid_argument if the rule refuses it.
  void set(Config& config, const OptionValue& value, const std::string& where) const {
    check_value(where, rule, value);
    std::visit(
        [&](auto pointer) {
          using Value = std::decay_t<decltype(config.*pointer)>;
          if constexpr (std::is_integral_v<Value> && !std::is_same_v<Value, bool>) {
            config.*pointer = static_cast<Value>(std::get<std::int64_t>(value));
          } else {
            config.*pointer = std::get<Value>(value);
          }
        },
        member);
  }

  void set_text(Config& config, const std::string& text, const std::string& where) const {
    set(config, parse_value(where, kind(), rule, text), where);
  }
};

// The row called `name`, or nullptr.
template <class Config>
const Option<Config>* find_option(const std::vector<Option<Config>>& options, const std::string& name) {
  for (const auto& option : options) {
    if (option.name == name) {
      return &option;
    }
  }
  return nullptr;
}

}  // namespace lockstep

// cxxopts does the splitting. It would take a following flag for a value and lets the last of two win, so
// both are checked here.
#include "trainer/config/flags.h"

#include <algorithm>
#include <cxxopts.hpp>
#include <set>
#include <stdexcept>

#include "sampler/nearest_name.h"
#include "trainer/config/option_value.h"

namespace lockstep {
namespace {

const FlagSpec* find_spec(const std::vector<FlagSpec>& specs, const std::string& name) {
  const auto found =
      std::find_if(specs.begin(), specs.end(), [&](const FlagSpec& spec) { return spec.name == name; });
  return found == specs.end() ? nullptr : &*found;
}

[[noreturn]] void refuse_unknown(const std::string& name, const std::vector<FlagSpec>& specs) {
  std::vector<std::string> known;
  std::transform(specs.begin(), specs.end(), std::back_inserter(known),
                 [](const auto& spec) { return spec.name; });
  throw std::invalid_argument("unknown flag " + quoted("--" + name) + "; did you mean --" +
                              nearest_name(name, known) + "? (--help lists all)");
}

// The arguments with names in dashes. Everything that would surprise cxxopts' user is refused.
std::vector<std::string> checked(const std::vector<std::string>& arguments,
                                 const std::vector<FlagSpec>& specs) {
  std::vector<std::string> result;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    if (!argument.starts_with("--") || argument.size() == 2) {
      const bool after_switch = (argument == "true" || argument == "false") && i > 0 &&
                                arguments[i - 1].starts_with("--") && !result.empty();
      throw std::invalid_argument(quoted(argument) + " belongs to no flag; " +
                                  (after_switch ? "write " + arguments[i - 1] + "=" + argument
                                                : "options are written --name value, and --help lists them"));
    }
    const std::size_t equals = argument.find('=');
    const std::string name = with_dashes(argument.substr(2, equals - std::min<std::size_t>(equals, 2)));
    const FlagSpec* spec = find_spec(specs, name);
    if (spec == nullptr) {
      refuse_unknown(name, specs);
    }
    const bool has_next = i + 1 < arguments.size() && !arguments[i + 1].starts_with("--");
    if (spec->is_switch) {
      const std::string value = equals == std::string::npos ? "true" : argument.substr(equals + 1);
      parse_value("--" + name, OptionKind::kSwitch, true_or_false(), value);
      result.push_back("--" + name + "=" + value);
    } else if (equals == std::string::npos && !has_next) {
      throw std::invalid_argument("--" + name + " needs a value: --" + name + "=VALUE");
    } else {
      result.push_back("--" + name);
      result.push_back(equals == std::string::npos ? arguments[++i] : argument.substr(equals + 1));
    }
  }
  return result;
}

}  // namespace

std::string with_dashes(std::string name) {
  std::replace(name.begin(), name.end(), '_', '-');
  return name;
}

bool asks_for_help(const std::vector<std::string>& arguments) {
  return std::any_of(arguments.begin(), arguments.end(),
                     [](const std::string& argument) { return argument == "--help" || argument == "-h"; });
}

bool asks_for_version(const std::vector<std::string>& arguments) {
  return std::find(arguments.begin(), arguments.end(), "--version") != arguments.end();
}

std::vector<Flag> split_flags(const std::vector<std::string>& arguments, const std::vector<FlagSpec>& specs) {
  cxxopts::Options options("lockstep");
  for (const FlagSpec& spec : specs) {
    options.add_options()(spec.name, "", cxxopts::value<std::string>());
  }
  const std::vector<std::string> words = checked(arguments, specs);
  std::vector<const char*> argv = {"lockstep"};
  std::transform(words.begin(), words.end(), std::back_inserter(argv),
                 [](const auto& word) { return word.c_str(); });
  try {
    const cxxopts::ParseResult parsed = options.parse(static_cast<int>(argv.size()), argv.data());
    std::vector<Flag> flags;
    std::set<std::string> seen;
    for (const cxxopts::KeyValue& flag : parsed.arguments()) {
      if (!seen.insert(flag.key()).second) {
        throw std::invalid_argument("--" + flag.key() + " is given twice; give it once");
      }
      flags.push_back({flag.key(), flag.value()});
    }
    return flags;
  } catch (const cxxopts::exceptions::exception& error) {
    throw std::invalid_argument(error.what());
  }
}

}  // namespace lockstep

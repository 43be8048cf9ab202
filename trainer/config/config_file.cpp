#include "trainer/config/config_file.h"

#include <toml++/toml.h>
#include <algorithm>
#include <cctype>
#include <fstream>
#include <iterator>
#include <optional>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string_view>
#include <vector>

#include "sampler/data_error.h"
#include "sampler/nearest_name.h"
#include "trainer/config/flags.h"
#include "trainer/config/train_options.h"
#include "trainer/run_dir/atomic_file.h"

namespace lockstep {
namespace {

constexpr std::size_t kLargestFile = 1 << 20;  // bytes

std::string read_bounded(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  std::string text(kLargestFile + 1, '\0');
  stream.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (stream.gcount() == 0 && !stream.eof()) {
    throw DataError("--config: " + file.string() + " cannot be read; it must be a TOML file");
  }
  text.resize(static_cast<std::size_t>(stream.gcount()));
  if (text.size() > kLargestFile) {
    throw DataError("--config: " + file.string() +
                    " is larger than 1 MiB; it must be a TOML file of options");
  }
  return text;
}

toml::table parse(std::string_view text, const std::string& source) {
  try {
    return toml::parse(text, source);
  } catch (const toml::parse_error& error) {
    throw DataError("--config: " + source + ":" + std::to_string(error.source().begin.line) + ": " +
                    std::string(error.description()) + "; it must be TOML");
  }
}

// The node as the option's kind of value, where that loses nothing.
std::optional<OptionValue> to_value(const toml::node& node, OptionKind kind) {
  switch (kind) {
    case OptionKind::kSwitch:
      if (const auto* flag = node.as_boolean()) {
        return flag->get();
      }
      break;
    case OptionKind::kInteger:
      if (const auto* integer = node.as_integer()) {
        return integer->get();
      }
      break;
    case OptionKind::kNumber:
      if (const auto* number = node.as_floating_point()) {
        return number->get();
      }
      if (const auto* integer = node.as_integer()) {
        return static_cast<double>(integer->get());
      }
      break;
    case OptionKind::kText:
      if (const auto* text = node.as_string()) {
        return text->get();
      }
      if (const auto* integer = node.as_integer()) {  // checkpoint-interval = 100
        return std::to_string(integer->get());
      }
      break;
  }
  return std::nullopt;
}

std::string shown(const toml::node& node) {
  std::ostringstream text;
  node.visit([&](const auto& value) { text << value; });
  return text.str();
}

const Option<TrainConfig>& known_option(const std::string& where, const std::string& key) {
  if (const auto* option = find_option(train_options(), with_dashes(key))) {
    return *option;
  }
  std::vector<std::string> names;
  for (const auto& option : train_options()) {
    names.push_back(option.name);
  }
  throw std::invalid_argument(where + ": unknown key " + quoted(key) + "; did you mean " +
                              nearest_name(with_dashes(key), names) + "?");
}

std::string toml_string(const std::string& text) {
  std::ostringstream stream;
  stream << toml::value<std::string>(text);
  return stream.str();
}

}  // namespace

void read_config_text(std::string_view text, const std::string& source, TrainConfig& config) {
  const toml::table table = parse(text, source);
  std::set<std::string> seen;
  for (const auto& [key, node] : table) {
    const std::string name(key.str());
    const std::string where = source + ":" + std::to_string(node.source().begin.line);
    const auto& option = known_option(where, name);
    if (!seen.insert(option.name).second) {
      throw std::invalid_argument(where + ": " + option.name + " is given twice; give it once");
    }
    const auto value = to_value(node, option.kind());
    if (!value) {
      refuse_value(where + ": " + option.name, option.rule, shown(node));
    }
    option.set(config, *value, where + ": " + option.name);
  }
}

void read_config_file(const std::filesystem::path& file, TrainConfig& config) {
  read_config_text(read_bounded(file), file.string(), config);
}

std::string to_toml(const TrainConfig& config) {
  TrainConfig resolved = config;
  resolved.run_dir = run_dir_of(config).string();
  std::string text = "# Every option of this run as it was resolved; --config with this file repeats it.\n";
  const std::string* group = nullptr;
  for (const auto& option : train_options()) {
    if (!option.recorded) {
      continue;
    }
    if (group == nullptr || *group != option.group) {
      text += "\n# " + option.group + "\n";
      group = &option.group;
    }
    const OptionValue value = option.get(resolved);
    const auto* line = std::get_if<std::string>(&value);
    text += option.name + " = " + (line != nullptr ? toml_string(*line) : to_text(value)) + "\n";
  }
  return text;
}

void write_config_file(const std::filesystem::path& file, const TrainConfig& config,
                       const std::vector<std::string>& remarks) {
  std::string text = to_toml(config);
  if (!remarks.empty()) text += "\n";
  for (std::string remark : remarks) {
    std::replace_if(
        remark.begin(), remark.end(), [](unsigned char c) { return std::iscntrl(c) != 0; }, '?');
    text += "# " + remark + "\n";
  }
  try {
    write_file_atomically(file, text);
  } catch (const std::filesystem::filesystem_error& error) {
    throw DataError(file.string() + " cannot be written (" + error.code().message() +
                    "); choose a --run-dir that can");
  }
}

}  // namespace lockstep

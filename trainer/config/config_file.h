// A training run's options as a flat TOML file: keys are the flags' names, dashes and underscores alike.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "trainer/config/train_config.h"

namespace lockstep {

// Overwrites in `config` what the file names. Throws DataError if the file cannot be read or is no TOML, and
// std::invalid_argument for an unknown key (with the nearest known name) or a value that its option refuses;
// both name the file and the line.
void read_config_file(const std::filesystem::path& file, TrainConfig& config);

// The same of a text, which `source` names.
void read_config_text(std::string_view text, const std::string& source, TrainConfig& config);

// Every option but resume and fresh, which ask for something once: `--config` with this text repeats the run.
// Numbers come back with the same bits. The run folder is written as resolved.
std::string to_toml(const TrainConfig& config);

// Writes to_toml(), and `remarks` as comments below it, so that a reader sees all of it or the file before.
// Throws DataError if it cannot be written.
void write_config_file(const std::filesystem::path& file, const TrainConfig& config,
                       const std::vector<std::string>& remarks = {});

}  // namespace lockstep

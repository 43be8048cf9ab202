// The options of the learning-rate schedule. A new schedule: its name here, its class in
// trainer/optim/lr_schedule.cpp.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "trainer/config/option.h"
#include "trainer/config/train_config.h"

namespace lockstep {

std::vector<Option<TrainConfig>> lr_schedule_option_rows();

// Throws std::invalid_argument for a schedule that lacks what it needs, or is given what it has no use for.
void check_lr_schedule(const TrainConfig& config);

// "30,60,80", ascending from 1; empty for a text that is anything else.
std::vector<std::int64_t> parse_milestones(const std::string& text);

}  // namespace lockstep

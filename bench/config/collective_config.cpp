#include "bench/config/collective_config.h"

#include <array>

namespace lockstep {
namespace {

constexpr std::array kNames = {"all-reduce", "reduce-scatter", "all-gather", "broadcast",
                               "send-receive"};  // in the enum's order

}  // namespace

const char* name_of(Collective collective) {
  return kNames[static_cast<std::size_t>(collective)];
}

std::optional<Collective> find_collective(const std::string& name) {
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    if (name == kNames[i]) return static_cast<Collective>(i);
  }
  return std::nullopt;
}

CollectiveConfig defaults_of(Collective collective) {
  CollectiveConfig config;
  config.collective = collective;
  // MPI leaves a reduce-scatter's result elsewhere when it is in place, so that who is compared with it is
  // not. A send-receive has two buffers.
  config.in_place = collective == Collective::kAllReduce || collective == Collective::kBroadcast;
  return config;
}

}  // namespace lockstep

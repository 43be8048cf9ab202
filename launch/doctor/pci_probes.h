// What stands between two GPUs that would read each other's memory over PCIe: access control and address
// translation.
#pragma once

#include "launch/doctor/finding.h"
#include "launch/doctor/probe_source.h"

namespace lockstep {

// Access Control Services of the bridges: switched on, they send what one GPU tells another through the
// processor. `gpu_addresses` as sysfs spells them; fewer than two have nothing to tell each other.
Findings probe_access_control(const ProbeSource& source, const std::vector<std::string>& gpu_addresses);
// The IOMMU, in front of the GPUs (passed through or translating), and whether this is a virtual machine.
Findings probe_iommu(const ProbeSource& source, const std::vector<std::string>& gpu_addresses);

// The ACS control register in a bridge's configuration space; none where it has none, or where `config` does
// not go that far, as for readers without root.
std::optional<unsigned> access_control_of(const std::string& config);

}  // namespace lockstep

// The NCCL that is loaded: its version, what it can do, and the settings that it reads.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace lockstep {

// NCCL's own code, such as 22809 for 2.28.9. Found at run time, since another library than the one that we
// were built with may have been preloaded.
int nccl_version();
std::string nccl_version_text(int version);

// First versions with a feature; docs/gpu.md says what each is for.
inline constexpr int kNcclRegistersBuffers = 21901;
inline constexpr int kNcclOrdersLaunches = 22602;
inline constexpr int kNcclHasWindows = 22703;
inline constexpr int kNcclSparesSms = 22803;
inline constexpr int kNcclSharesGpus = 23003;

// A function of the loaded library, or null where it has none of that name.
void* find_nccl_function(const char* name);

// Sets what several ranks on one GPU need, for communicators that are made from now on: the switch itself,
// few enough thread blocks that all ranks' kernels fit on the GPU side by side (they wait for each other),
// and no NVLink switch sums. What the user has set stays. Returns "NAME=value, ..." as it then is.
std::string prepare_nccl_to_share_gpus();

// Has NCCL (2.26 and newer) run the work of several communicators on a GPU in the order in which the host
// starts it, without which their kernels may wait for each other across GPUs. NCCL reads it at its first
// launch in the process. What the user has set stays.
void order_nccl_launches();

// This process's NCCL_* variables, by name.
std::vector<std::pair<std::string, std::string>> nccl_environment();

}  // namespace lockstep

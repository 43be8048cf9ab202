#include "trainer/sync_debug.h"

#include <c10/cuda/CUDAFunctions.h>

#include <stdexcept>

namespace lockstep {
namespace {

c10::cuda::SyncDebugMode parse(const std::string& mode) {
  if (mode == "warn") return c10::cuda::SyncDebugMode::L_WARN;
  if (mode == "error") return c10::cuda::SyncDebugMode::L_ERROR;
  throw std::invalid_argument("--cuda-sync-debug-mode " + mode +
                              " is unknown; known are default, warn and error");
}

}  // namespace

SyncDebugGuard::SyncDebugGuard(const std::string& mode) {
  if (mode == "default") return;
  c10::cuda::WarningState& state = c10::cuda::warning_state();
  const c10::cuda::SyncDebugMode asked_for = parse(mode);
  before_ = static_cast<int>(state.get_sync_debug_mode());
  state.set_sync_debug_mode(asked_for);
}

SyncDebugGuard::~SyncDebugGuard() {
  if (before_)
    c10::cuda::warning_state().set_sync_debug_mode(static_cast<c10::cuda::SyncDebugMode>(*before_));
}

}  // namespace lockstep

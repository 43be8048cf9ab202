// What makes the host wait for a GPU, found out (--cuda-sync-debug-mode).
#pragma once

#include <optional>
#include <string>

namespace lockstep {

// While there is one, LibTorch warns of operations by which the host waits for a GPU, or refuses them with an
// exception, in the whole process: torch.cuda.set_sync_debug_mode(). One at a time.
class SyncDebugGuard {
 public:
  // "warn" or "error"; "default": all stays as it is.
  explicit SyncDebugGuard(const std::string& mode);
  ~SyncDebugGuard();
  SyncDebugGuard(const SyncDebugGuard&) = delete;
  SyncDebugGuard& operator=(const SyncDebugGuard&) = delete;

 private:
  std::optional<int> before_;  // c10::cuda::SyncDebugMode, where it was changed
};

}  // namespace lockstep

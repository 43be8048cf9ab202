// Runs a function as N ranks in N threads and rethrows the first exception after all have ended.
#pragma once

#include <ATen/CPUGeneratorImpl.h>

#include <chrono>
#include <exception>
#include <functional>
#include <thread>
#include <utility>
#include <vector>

#include "comm/thread_communicator.h"

namespace lockstep::testing {

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

// The sanitizers make everything ten times as slow, and find with a few ranks what they find with many.
inline std::vector<int> world_sizes(std::vector<int> all) {
  return kSanitized ? std::vector<int>{2, 3} : std::move(all);
}

// `make` turns a rank's thread communicator into the one that `body` gets.
inline void run_ranks(int world_size, const std::function<void(Communicator&)>& body,
                      std::chrono::milliseconds timeout = std::chrono::seconds(20),
                      const std::function<CommunicatorPtr(CommunicatorPtr)>& make = {}) {
  // LibTorch makes its CPU generator at its first use, in code that ThreadSanitizer cannot look into: not in
  // a race of ours.
  at::detail::getDefaultCPUGenerator();
  const auto communicators = make_thread_communicators(world_size, timeout);
  std::vector<std::exception_ptr> errors(static_cast<std::size_t>(world_size));
  std::vector<std::thread> threads;
  for (int rank = 0; rank < world_size; ++rank) {
    threads.emplace_back([&, rank] {
      const auto index = static_cast<std::size_t>(rank);
      CommunicatorPtr communicator = communicators[index];
      try {
        if (make) communicator = make(communicator);
        body(*communicator);
      } catch (const std::exception& error) {
        errors[index] = std::current_exception();
        communicator->abort(error.what());  // so that the other ranks end, too
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::exception_ptr& error : errors) {
    if (error) std::rethrow_exception(error);
  }
}

}  // namespace lockstep::testing

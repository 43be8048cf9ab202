// Runs a function as N ranks in N threads and rethrows the first exception after all have ended.
#pragma once

#include <ATen/CPUGeneratorImpl.h>

#include <chrono>
#include <exception>
#include <functional>
#include <thread>
#include <vector>

#include "comm/thread_communicator.h"

namespace lockstep::testing {

inline void run_ranks(int world_size, const std::function<void(Communicator&)>& body,
                      std::chrono::milliseconds timeout = std::chrono::seconds(20)) {
  // LibTorch makes its CPU generator at its first use, in code that ThreadSanitizer cannot look into: not in
  // a race of ours.
  at::detail::getDefaultCPUGenerator();
  const auto communicators = make_thread_communicators(world_size, timeout);
  std::vector<std::exception_ptr> errors(static_cast<std::size_t>(world_size));
  std::vector<std::thread> threads;
  for (int rank = 0; rank < world_size; ++rank) {
    threads.emplace_back([&, rank] {
      const auto index = static_cast<std::size_t>(rank);
      try {
        body(*communicators[index]);
      } catch (const std::exception& error) {
        errors[index] = std::current_exception();
        communicators[index]->abort(error.what());  // so that the other ranks end, too
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::exception_ptr& error : errors) {
    if (error) std::rethrow_exception(error);
  }
}

}  // namespace lockstep::testing

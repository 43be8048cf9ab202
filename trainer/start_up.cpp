#include "trainer/start_up.h"

#include <ATen/ops/full.h>

#include <stdexcept>

#include "comm/agreement.h"
#include "sampler/data_error.h"
#include "trainer/checkpoint/durable_file.h"

namespace lockstep {
namespace {

struct Outcome {
  ExitCode code = ExitCode::kFinished;
  std::string message;
};

Outcome outcome_of(const std::function<void()>& body) {
  try {
    body();
    return {};
  } catch (const std::invalid_argument& error) {
    return {ExitCode::kUsage, error.what()};
  } catch (const DiskFullError& error) {
    return {ExitCode::kPeerFailed, error.what()};
  } catch (const DataError& error) {
    return {ExitCode::kBadInput, error.what()};
  }
}

std::int64_t reduce(std::int64_t value, ReduceOp op, Communicator& communicator) {
  const at::Tensor tensor = at::full({1}, value, at::TensorOptions().dtype(at::kLong));
  communicator.all_reduce(tensor, op)->wait();
  return tensor.item<std::int64_t>();
}

}  // namespace

void together(Communicator& communicator, const std::function<void()>& body) {
  const Outcome mine = outcome_of(body);
  const bool fine = mine.code == ExitCode::kFinished;
  const int world_size = communicator.world_size();
  const std::int64_t teller = reduce(fine ? world_size : communicator.rank(), ReduceOp::kMin, communicator);
  if (teller == world_size) return;
  const std::int64_t failed = reduce(fine ? 0 : 1, ReduceOp::kSum, communicator);
  const auto root = static_cast<int>(teller);
  const at::Tensor code = at::full({1}, static_cast<int>(mine.code), at::TensorOptions().dtype(at::kInt));
  communicator.broadcast(code, root)->wait();
  const std::string text = broadcast_text(mine.message, root, communicator);
  throw AgreedStop(static_cast<ExitCode>(code.item<int>()),
                   failed == world_size ? text : "rank " + std::to_string(root) + ": " + text);
}

}  // namespace lockstep

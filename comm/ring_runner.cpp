#include <utility>
#include <vector>

#include "comm/collective_runner.h"
#include "comm/ring.h"

namespace lockstep {
namespace {

class RingRunner final : public CollectiveRunner {
 public:
  RingRunner(std::unique_ptr<Transport> transport, CommunicatorPtr host)
      : host_(std::move(host)), transport_(std::move(transport)) {}

  int rank() const override { return transport_->rank(); }
  int named_rank(int rank) const override { return transport_->named_rank(rank); }
  int world_size() const override { return transport_->world_size(); }

  std::int64_t run(const CollectiveSignature& signature, const at::Tensor& output, const at::Tensor& input,
                   const WaitLimit& limit) override {
    transport_->report_position(signature.sequence + 1, "is in " + signature.describe());
    const std::int64_t bytes = run_on(signature, output, input, limit);
    transport_->report_position(signature.sequence + 1, has_done(signature));
    return bytes;
  }

  void close() override {
    transport_->close();
    if (host_) host_->shutdown();
  }
  void fail(const std::string& reason) override { transport_->fail(reason); }

 private:
  std::int64_t run_on(const CollectiveSignature& signature, const at::Tensor& output, const at::Tensor& input,
                      const WaitLimit& limit) {
    const auto block_of = [&](const at::Tensor& blocks) {
      const std::int64_t block = blocks.numel() / world_size();
      return blocks.view({-1}).narrow(0, rank() * block, block);
    };
    const auto run_in = [&](void* data) {
      return run_ring_collective(*transport_, signature, {{data}, data, {}}, limit);
    };
    switch (signature.kind) {
      case CollectiveKind::kBarrier: {
        char scratch[2] = {};
        return run_in(scratch);
      }
      case CollectiveKind::kReduceScatter: {
        partial_sums_ = input.clone();
        const std::int64_t bytes = run_in(partial_sums_.mutable_data_ptr());
        output.view({-1}).copy_(block_of(partial_sums_));
        partial_sums_.reset();
        return bytes;
      }
      case CollectiveKind::kAllGather:
        block_of(output).copy_(input.view({-1}));
        return run_in(output.mutable_data_ptr());
      case CollectiveKind::kSendReceive:
        if (world_size() == 1) {
          output.view({-1}).copy_(input.view({-1}));
          return 0;
        }
        return run_ring_collective(*transport_, signature,
                                   {{input.mutable_data_ptr()}, output.mutable_data_ptr(), {}}, limit);
      case CollectiveKind::kAllReduce:
        if (input.defined()) return sum_rows(signature, output, input, limit);
        return run_in(output.mutable_data_ptr());
      default:
        return run_in(output.mutable_data_ptr());
    }
  }

  std::int64_t sum_rows(const CollectiveSignature& signature, const at::Tensor& output,
                        const at::Tensor& rows, const WaitLimit& limit) {
    const at::Tensor sum = sum_buffer(output, rows);
    RingBuffers buffers;
    buffers.result = sum.mutable_data_ptr();
    for (std::int64_t row = 0; row < rows.size(0); ++row)
      buffers.tensors.push_back(rows.select(0, row).mutable_data_ptr());
    const std::int64_t bytes = run_ring_collective(*transport_, signature, buffers, limit);
    if (sum.const_data_ptr() != output.const_data_ptr()) output.copy_(sum);
    return bytes;
  }

  CommunicatorPtr host_;
  std::unique_ptr<Transport> transport_;
  at::Tensor partial_sums_;  // outlives a collective that fails, until the peers cannot take it any more
};

}  // namespace

std::unique_ptr<CollectiveRunner> make_ring_runner(std::unique_ptr<Transport> transport,
                                                   CommunicatorPtr host) {
  return std::make_unique<RingRunner>(std::move(transport), std::move(host));
}

std::string has_done(const CollectiveSignature& signature) {
  return "has done " + signature.describe() + " and come to no other since";
}

at::Tensor sum_buffer(const at::Tensor& output, const at::Tensor& rows) {
  const auto* at = static_cast<const char*>(output.const_data_ptr());
  const auto* begin = static_cast<const char*>(rows.const_data_ptr());
  const bool is_a_row = at >= begin && at < begin + rows.nbytes();
  return is_a_row ? rows.select(0, 0) : output;
}

}  // namespace lockstep

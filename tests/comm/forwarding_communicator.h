// A communicator that lets another do everything: for tests that look at, or change, one thing of it.
#pragma once

#include <string>
#include <utility>

#include "comm/communicator.h"

namespace lockstep::testing {

class ForwardingCommunicator : public Communicator {
 public:
  explicit ForwardingCommunicator(CommunicatorPtr inner) : inner_(std::move(inner)) {}

  int rank() const override { return inner_->rank(); }
  int world_size() const override { return inner_->world_size(); }
  std::string backend() const override { return inner_->backend(); }
  ReductionOrder reduction_order() const override { return inner_->reduction_order(); }
  at::Tensor allocate(at::IntArrayRef sizes, const at::TensorOptions& options) override {
    return inner_->allocate(sizes, options);
  }
  WorkPtr all_reduce(at::Tensor tensor, ReduceOp op) override {
    return inner_->all_reduce(std::move(tensor), op);
  }
  WorkPtr all_reduce_rows(at::Tensor output, at::Tensor rows, ReductionOrder order) override {
    return inner_->all_reduce_rows(std::move(output), std::move(rows), order);
  }
  WorkPtr reduce_scatter(at::Tensor output, at::Tensor input, ReduceOp op) override {
    return inner_->reduce_scatter(std::move(output), std::move(input), op);
  }
  WorkPtr all_gather(at::Tensor output, at::Tensor input) override {
    return inner_->all_gather(std::move(output), std::move(input));
  }
  WorkPtr broadcast(at::Tensor tensor, int root) override {
    return inner_->broadcast(std::move(tensor), root);
  }
  WorkPtr send_receive(at::Tensor output, at::Tensor input) override {
    return inner_->send_receive(std::move(output), std::move(input));
  }
  void barrier() override { inner_->barrier(); }
  std::int64_t bytes_sent() const override { return inner_->bytes_sent(); }
  void shutdown() override { inner_->shutdown(); }
  void abort(const std::string& reason) noexcept override { inner_->abort(reason); }

 private:
  CommunicatorPtr inner_;
};

}  // namespace lockstep::testing

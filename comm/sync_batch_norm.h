// SyncBatchNorm: batch normalisation with the statistics of all ranks' batches (Ioffe and Szegedy 2015,
// arXiv:1502.03167, over the global batch).
#pragma once

#include <torch/nn/modules/batchnorm.h>

#include <cstdint>

#include "comm/communicator.h"

namespace lockstep {

// Inputs are (N, C, ...) of two or more dimensions. Without a communicator, with one of a single rank, and in
// eval mode it is torch::nn::BatchNorm1d/2d/3d, to the bit, with the same options and the same names of
// parameters and buffers, so that checkpoints are interchangeable. With a communicator a training forward
// pass normalises by the mean and variance of all ranks' values, each value counting once however the ranks'
// batches differ in size (one all_gather); its backward pass is one all_reduce. Both are collectives: every
// rank runs them equally often and in the same order. Running statistics get the same bits on every rank.
// Gradients of weight and bias are this rank's share, as of any parameter that DistributedDataParallel
// averages. Not differentiable twice.
class SyncBatchNormImpl final : public torch::nn::BatchNormImplBase<2, SyncBatchNormImpl> {
 public:
  explicit SyncBatchNormImpl(const torch::nn::BatchNormOptions& options,
                             CommunicatorPtr communicator = nullptr)
      : BatchNormImplBase(options), communicator_(std::move(communicator)) {}

  // Throws std::invalid_argument for an input that is not (N, num_features, ...), or, on every rank alike,
  // for one value or none per channel on all of the communicator's ranks together; CommError.
  at::Tensor forward(const at::Tensor& input);

  // From now on over `communicator`'s ranks; null: this rank alone.
  void set_communicator(CommunicatorPtr communicator) { communicator_ = std::move(communicator); }
  bool is_synchronized() const { return communicator_ != nullptr && communicator_->world_size() > 1; }

  void pretty_print(std::ostream& stream) const override;

 protected:
  void _check_input_dim(const at::Tensor& input) override;

 private:
  CommunicatorPtr communicator_;
};

TORCH_MODULE(SyncBatchNorm);

// Gives `communicator` to every SyncBatchNorm in `module`'s tree, itself included, and returns how many there
// are; parameters and buffers stay the tensors that they are. Not a collective.
//
// A torch::nn::BatchNorm cannot be converted: a C++ module calls its norm through a typed member or a
// Sequential, which go on pointing to the old one whatever is registered in its place. It would train
// unsynchronised, so std::invalid_argument names each of them and nothing is changed. Declare such a norm as
// SyncBatchNorm; until it is converted it behaves the same.
std::int64_t convert_sync_batch_norm(torch::nn::Module& module, const CommunicatorPtr& communicator);

}  // namespace lockstep

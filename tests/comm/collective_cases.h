// What every backend has to do right: each collective, every dtype, sizes around every boundary, with inputs
// whose exact result is known in closed form. Small integers are exact in every dtype, so sums are, whatever
// their order.
#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "comm/communicator.h"

namespace lockstep::testing {

inline const std::vector<at::ScalarType>& collective_dtypes() {
  static const std::vector<at::ScalarType> dtypes = {at::kFloat, at::kDouble, at::kHalf, at::kBFloat16,
                                                     at::kInt,   at::kLong,   at::kByte};
  return dtypes;
}

// 0, 1, odd, not divisible by any small world size, around a page, and around one and several ring segments
// of 1 MiB.
inline const std::vector<std::int64_t>& collective_sizes() {
  static const std::vector<std::int64_t> sizes = {0,    1,    2,      3,      7,      64,
                                                  1000, 4097, 262143, 262144, 262145, 1500007};
  return sizes;
}

// Element i of rank r: (i + 2 r) mod 5, at most 4.
inline at::Tensor rank_values(std::int64_t count, int rank, at::ScalarType dtype) {
  return (at::arange(count, at::kLong) + 2 * rank).remainder(5).to(dtype);
}

inline void check_all_reduce(Communicator& comm, std::int64_t count, at::ScalarType dtype,
                             at::Device device) {
  at::Tensor expected_sum = at::zeros({count}, at::kLong);
  at::Tensor expected_max = at::zeros({count}, at::kLong);
  at::Tensor expected_min = at::full({count}, 5, at::kLong);
  for (int rank = 0; rank < comm.world_size(); ++rank) {
    const at::Tensor values = rank_values(count, rank, at::kLong);
    expected_sum += values;
    expected_max = at::maximum(expected_max, values);
    expected_min = at::minimum(expected_min, values);
  }
  const at::Tensor sum = rank_values(count, comm.rank(), dtype).to(device);
  const at::Tensor max = sum.clone();
  const at::Tensor min = sum.clone();
  // All three under way at once.
  const WorkPtr works[] = {comm.all_reduce(sum), comm.all_reduce(max, ReduceOp::kMax),
                           comm.all_reduce(min, ReduceOp::kMin)};
  for (const WorkPtr& work : works) {
    work->wait();
    if (device.is_cpu()) {
      EXPECT_TRUE(work->is_completed());  // on a GPU wait() orders streams, and the host goes on
    }
  }
  EXPECT_TRUE(at::equal(sum.cpu(), expected_sum.to(dtype)))
      << "sum of " << count << " " << c10::toString(dtype);
  EXPECT_TRUE(at::equal(max.cpu(), expected_max.to(dtype)))
      << "max of " << count << " " << c10::toString(dtype);
  EXPECT_TRUE(at::equal(min.cpu(), expected_min.to(dtype)))
      << "min of " << count << " " << c10::toString(dtype);
}

inline void check_blocks(Communicator& comm, std::int64_t block, at::ScalarType dtype, at::Device device) {
  const int world_size = comm.world_size();
  at::Tensor sum = at::zeros({block * world_size}, at::kLong);
  std::vector<at::Tensor> all;
  for (int rank = 0; rank < world_size; ++rank) {
    sum += rank_values(block * world_size, rank, at::kLong);
    all.push_back(rank_values(block, rank, dtype));
  }
  const at::Tensor input = rank_values(block * world_size, comm.rank(), dtype).to(device);
  const at::Tensor reduced = at::zeros({block}, at::TensorOptions(device).dtype(dtype));
  const at::Tensor gathered = at::zeros({block * world_size}, at::TensorOptions(device).dtype(dtype));
  const auto scatter = comm.reduce_scatter(reduced, input);
  const auto gather = comm.all_gather(gathered, rank_values(block, comm.rank(), dtype).to(device));
  scatter->wait();
  gather->wait();
  EXPECT_TRUE(at::equal(reduced.cpu(), sum.narrow(0, comm.rank() * block, block).to(dtype)))
      << "reduce_scatter of blocks of " << block << " " << c10::toString(dtype);
  EXPECT_TRUE(at::equal(input.cpu(), rank_values(block * world_size, comm.rank(), dtype)))
      << "reduce_scatter changed its input";
  EXPECT_TRUE(at::equal(gathered.cpu(), at::cat(all)))
      << "all_gather of blocks of " << block << " " << c10::toString(dtype);
}

// Blocks are counted in elements, whatever the tensors' shapes.
inline void check_shapes(Communicator& comm, at::Device device) {
  const int world_size = comm.world_size();
  const at::Tensor gathered = at::empty({world_size, 6}, at::TensorOptions().device(device));
  comm.all_gather(gathered, rank_values(6, comm.rank(), at::kFloat).view({2, 3}).to(device))->wait();
  for (int rank = 0; rank < world_size; ++rank)
    EXPECT_TRUE(at::equal(gathered[rank].cpu(), rank_values(6, rank, at::kFloat))) << "rows of rank " << rank;
  const at::Tensor reduced = at::empty({3, 2}, at::TensorOptions().device(device));
  comm.reduce_scatter(reduced, at::full({world_size, 6}, comm.rank() + 1.0F, reduced.options()))->wait();
  EXPECT_TRUE(at::equal(reduced.cpu(), at::full({3, 2}, world_size * (world_size + 1) / 2.0F)));
}

inline void check_broadcast(Communicator& comm, std::int64_t count, at::ScalarType dtype, at::Device device) {
  for (int root = 0; root < comm.world_size(); ++root) {
    const at::Tensor tensor = rank_values(count, comm.rank(), dtype).to(device);
    comm.broadcast(tensor, root)->wait();
    EXPECT_TRUE(at::equal(tensor.cpu(), rank_values(count, root, dtype)))
        << "broadcast from " << root << " of " << count << " " << c10::toString(dtype);
  }
}

inline void check_neighbours(Communicator& comm, std::int64_t count, at::ScalarType dtype,
                             at::Device device) {
  const int next = (comm.rank() + 1) % comm.world_size();
  const at::Tensor input = rank_values(count, comm.rank(), dtype).to(device);
  const at::Tensor output = at::full({count}, 9, input.options());
  comm.send_receive(output, input)->wait();
  EXPECT_TRUE(at::equal(output.cpu(), rank_values(count, next, dtype)))
      << "send_receive of " << count << " " << c10::toString(dtype);
  EXPECT_TRUE(at::equal(input.cpu(), rank_values(count, comm.rank(), dtype)))
      << "send_receive changed its input";
}

inline void check_all_collectives(Communicator& comm, at::Device device = at::kCPU) {
  check_shapes(comm, device);
  for (const at::ScalarType dtype : collective_dtypes()) {
    for (const std::int64_t count : collective_sizes()) {
      // Segments are counted in bytes, so few dtypes and world sizes show what happens at their borders.
      const bool large_matters = comm.world_size() <= 3 && (dtype == at::kFloat || dtype == at::kBFloat16);
      if (count > 10000 && !large_matters) continue;
      check_all_reduce(comm, count, dtype, device);
    }
    for (const std::int64_t count : {0, 1, 3, 1001, 300001}) {
      if (count > 10000 && (comm.world_size() > 3 || dtype != at::kFloat)) continue;
      check_blocks(comm, count, dtype, device);
      check_broadcast(comm, count, dtype, device);
      check_neighbours(comm, count, dtype, device);
    }
    comm.barrier();
  }
}

}  // namespace lockstep::testing

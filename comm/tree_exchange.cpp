#include "comm/tree_exchange.h"

#include <ATen/ops/empty.h>

#include <algorithm>

#include "comm/sum_rows.h"

namespace lockstep {
namespace {

constexpr std::int64_t kAlignmentBytes = 16;  // what a GPU loads at once

std::int64_t equal_pieces(const at::Tensor& flat, int world_size) {
  const std::int64_t unit =
      std::max<std::int64_t>(kAlignmentBytes / static_cast<std::int64_t>(flat.element_size()), 1);
  const std::int64_t elements = (flat.numel() + world_size - 1) / world_size;
  return std::max((elements + unit - 1) / unit * unit, unit);
}

}  // namespace

TreeExchange::TreeExchange(const at::Tensor& tensor, int rank, int world_size, std::int64_t piece_elements)
    : flat_(tensor.view({-1})),
      rank_(rank),
      world_size_(world_size),
      piece_elements_(piece_elements > 0 ? piece_elements : equal_pieces(flat_, world_size)),
      rows_(at::empty({world_size, piece_elements_}, flat_.options())),
      sum_(rows_[0]) {
  place(rank).copy_(piece(rank));
}

std::int64_t TreeExchange::begin(int piece) const {
  return std::min(flat_.numel(), piece * piece_elements_);
}

at::Tensor TreeExchange::piece(int peer) const {
  return flat_.narrow(0, begin(peer), size(peer));
}

at::Tensor TreeExchange::place(int peer) const {
  return rows_[peer].narrow(0, 0, size(rank_));
}

void TreeExchange::add_up(const at::Tensor& output) {
  sum_rows_in_tree(output, rows_.narrow(1, 0, size(rank_)));
}

void TreeExchange::prepare_to_gather() {
  const std::int64_t elements = world_size_ * piece_elements_;
  gathered_ = elements == flat_.numel() ? flat_ : at::empty({elements}, flat_.options());
}

void TreeExchange::finish() {
  if (!gathered_.is_same(flat_)) flat_.copy_(gathered_.narrow(0, 0, flat_.numel()));
}

}  // namespace lockstep

#include "comm/agreement.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>

#include <algorithm>
#include <cstring>

namespace lockstep {
namespace {

// Each string as its length and its bytes, so that no value can imitate another.
std::string pack(const KeyValues& values) {
  std::string packed;
  const auto add = [&](const std::string& text) { packed += std::to_string(text.size()) + ":" + text; };
  for (const auto& [key, value] : values) {
    add(key);
    add(value);
  }
  return packed;
}

KeyValues unpack(const std::string& packed) {
  KeyValues values;
  std::size_t at = 0;
  const auto take = [&] {
    const std::size_t colon = packed.find(':', at);
    const std::size_t length = std::stoul(packed.substr(at, colon - at));
    at = colon + 1 + length;
    return packed.substr(colon + 1, length);
  };
  while (at < packed.size()) {
    std::string key = take();
    values.emplace_back(std::move(key), take());
  }
  return values;
}

std::string first_difference(const KeyValues& mine, const KeyValues& reference) {
  for (std::size_t i = 0; i < std::max(mine.size(), reference.size()); ++i) {
    if (i >= mine.size()) return "no " + reference[i].first + ", rank 0 has " + reference[i].second;
    if (i >= reference.size()) return mine[i].first + " " + mine[i].second + ", rank 0 has none";
    if (mine[i].first != reference[i].first) return mine[i].first + " where rank 0 has " + reference[i].first;
    if (mine[i].second != reference[i].second) {
      return mine[i].first + " " + mine[i].second + ", rank 0 has " + reference[i].second;
    }
  }
  return {};
}

}  // namespace

std::string broadcast_text(const std::string& mine, int root, Communicator& communicator) {
  at::Tensor length =
      at::full({1}, static_cast<std::int64_t>(mine.size()), at::TensorOptions().dtype(at::kLong));
  communicator.broadcast(length, root)->wait();
  at::Tensor text = at::empty({length.item<std::int64_t>()}, at::TensorOptions().dtype(at::kByte));
  if (communicator.rank() == root) std::memcpy(text.data_ptr(), mine.data(), mine.size());
  communicator.broadcast(text, root)->wait();
  return {static_cast<const char*>(text.const_data_ptr()), static_cast<std::size_t>(text.numel())};
}

std::vector<std::string> gather_texts(const std::string& mine, Communicator& communicator) {
  std::vector<std::string> texts;
  for (int rank = 0; rank < communicator.world_size(); ++rank)
    texts.push_back(broadcast_text(mine, rank, communicator));
  return texts;
}

std::string first_problem(const std::string& mine, Communicator& communicator) {
  const at::Tensor rank = at::full({1}, mine.empty() ? communicator.world_size() : communicator.rank(),
                                   at::TensorOptions().dtype(at::kInt));
  communicator.all_reduce(rank, ReduceOp::kMin)->wait();
  const int first = rank.item<int>();
  if (first == communicator.world_size()) return "";
  return "rank " + std::to_string(communicator.named_rank(first)) + ": " +
         broadcast_text(mine, first, communicator);
}

std::string find_disagreement(const KeyValues& values, Communicator& communicator) {
  if (communicator.world_size() == 1) return {};
  const KeyValues reference = unpack(broadcast_text(pack(values), 0, communicator));
  const std::string difference = first_difference(values, reference);
  // The lowest rank that differs tells all of them.
  const int mine = difference.empty() ? communicator.world_size() : communicator.rank();
  at::Tensor lowest = at::full({1}, mine, at::TensorOptions().dtype(at::kInt));
  communicator.all_reduce(lowest, ReduceOp::kMin)->wait();
  const int teller = lowest.item<int>();
  if (teller == communicator.world_size()) return {};
  return broadcast_text("rank " + std::to_string(communicator.named_rank(teller)) + " has " + difference,
                        teller, communicator);
}

}  // namespace lockstep

// How collectives are done over shared memory: what came with the announcements, where tensors lie, or
// through staging areas.
#include <c10/core/ScalarType.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "comm/fold.h"
#include "comm/reduction.h"
#include "comm/shared_engine.h"

namespace lockstep {

// Block rank() of a reduce-scatter: the first summand is the right neighbour's, as in a ring.
void SharedEngine::fold_block(Work& work, std::span<const void* const> inputs, void* output,
                              std::int64_t begin, std::int64_t end) const {
  std::vector<const void*> ordered;
  for (int hop = 1; hop <= world_size(); ++hop) {
    const int from = order_ == ReductionOrder::kTree ? hop - 1 : (rank() + world_size() - hop) % world_size();
    ordered.push_back(inputs[static_cast<std::size_t>(from)]);
  }
  fold_inputs({&output, 1}, ordered, begin, end, {work.signature.dtype, work.signature.op, order_, 1.0});
}

// Everybody reads what came with the announcements; nobody has to wait for anybody again.
void SharedEngine::run_inline(Work& work) {
  const CollectiveSignature& signature = work.signature;
  const auto element_bytes = static_cast<std::int64_t>(c10::elementSize(signature.dtype));
  const int world = world_size();
  auto* output = static_cast<std::byte*>(work.output.data_ptr());
  if (signature.kind == CollectiveKind::kBroadcast) {
    if (signature.root != rank())
      std::memcpy(output, peers_.payload(signature.root, signature),
                  static_cast<std::size_t>(work.given_bytes));
    return;
  }
  if (signature.kind == CollectiveKind::kSendReceive) {
    std::memcpy(output, peers_.payload(next_rank(), signature), static_cast<std::size_t>(work.given_bytes));
    add_bytes_sent(work.given_bytes);
    return;
  }
  std::array<const void*, 16> few{};
  std::vector<const void*> many;
  if (world > static_cast<int>(few.size())) many.resize(static_cast<std::size_t>(world));
  const std::span<const void*> inputs(many.empty() ? few.data() : many.data(),
                                      static_cast<std::size_t>(world));
  for (int r = 0; r < world; ++r) inputs[static_cast<std::size_t>(r)] = peers_.payload(r, signature);
  add_bytes_sent(work.given_bytes * (world - 1));
  if (signature.kind == CollectiveKind::kAllReduce) {
    void* to = output;
    fold_ranks({&to, 1}, inputs, 0, signature.count, ring_chunks(signature.count, element_bytes, world),
               {signature.dtype, signature.op, order_, 1.0});
  } else if (signature.kind == CollectiveKind::kReduceScatter) {
    const std::int64_t block = signature.count / world;
    // The blocks of all ranks that are for this one.
    for (const void*& from : inputs)
      from = static_cast<const std::byte*>(from) + rank() * block * element_bytes;
    fold_block(work, inputs, output, 0, block);
  } else {
    for (int r = 0; r < world; ++r)
      std::memcpy(output + r * work.given_bytes, inputs[static_cast<std::size_t>(r)],
                  static_cast<std::size_t>(work.given_bytes));
  }
}

void SharedEngine::run_direct(Work& work, const WaitLimit& limit) {
  const CollectiveSignature& signature = work.signature;
  const auto element_bytes = static_cast<std::int64_t>(c10::elementSize(signature.dtype));
  const int world = world_size();
  std::vector<void*> tensors;
  for (int r = 0; r < world; ++r) {
    const SharedMemory::Offset place = peers_.place(r, signature);
    tensors.push_back(place >= 0 ? memory()->at(r, place) : nullptr);
  }
  const std::vector<const void*> inputs(tensors.begin(), tensors.end());
  auto* output = static_cast<std::byte*>(work.output.data_ptr());
  switch (signature.kind) {
    case CollectiveKind::kAllReduce: {
      const Part part = part_of(signature.count, element_bytes, rank(), world);
      fold_ranks(tensors, inputs, part.begin, part.end, ring_chunks(signature.count, element_bytes, world),
                 {signature.dtype, signature.op, order_, 1.0});
      add_bytes_sent(2 * (part.end - part.begin) * element_bytes * (world - 1));
      break;
    }
    case CollectiveKind::kReduceScatter: {
      const std::int64_t block = signature.count / world;
      std::vector<const void*> blocks;
      for (const void* input : inputs)
        blocks.push_back(static_cast<const std::byte*>(input) + rank() * block * element_bytes);
      fold_block(work, blocks, output, 0, block);
      add_bytes_sent(block * element_bytes * (world - 1));
      break;
    }
    case CollectiveKind::kAllGather:
      for (int r = 0; r < world; ++r) {
        std::memmove(output + r * work.given_bytes, inputs[static_cast<std::size_t>(r)],
                     static_cast<std::size_t>(work.given_bytes));
      }
      add_bytes_sent(work.given_bytes * (world - 1));
      break;
    case CollectiveKind::kBroadcast:
      if (signature.root != rank()) {
        std::memcpy(output, inputs[static_cast<std::size_t>(signature.root)],
                    static_cast<std::size_t>(work.given_bytes));
      } else {
        add_bytes_sent(work.given_bytes * (world - 1));
      }
      break;
    case CollectiveKind::kSendReceive:
      std::memcpy(output, inputs[static_cast<std::size_t>(next_rank())],
                  static_cast<std::size_t>(work.given_bytes));
      add_bytes_sent(work.given_bytes);
      break;
    case CollectiveKind::kBarrier:
    case CollectiveKind::kExchange:
      break;
  }
  peers_.meet(++phases_, signature, limit);
}

void SharedEngine::run_staged(Work& work, const WaitLimit& limit) {
  if (work.signature.kind == CollectiveKind::kAllReduce) return stage_all_reduce(work, limit);
  if (work.signature.kind == CollectiveKind::kReduceScatter) return stage_reduce_scatter(work, limit);
  stage_copies(work, limit);
}

// A pipeline of three: while peers read stage k, this rank fills k + 1.
template <typename CopyIn, typename Reduce, typename CopyOut>
void SharedEngine::run_stages(std::int64_t stages, const CollectiveSignature& signature,
                              const WaitLimit& limit, CopyIn copy_in, Reduce reduce, CopyOut copy_out) {
  const std::uint32_t first = stages_;
  for (std::int64_t k = 0; k < stages + 2; ++k) {
    if (k < stages) {
      const std::uint32_t stage = first + static_cast<std::uint32_t>(k);
      peers_.wait_for_stage(SharedPeers::Stage::kConsumed, stage + 1 - kStages, signature, limit);
      copy_in(k, stage);
      peers_.raise_stage(SharedPeers::Stage::kFilled, stage + 1);
    }
    if (k >= 1 && k - 1 < stages) {
      const std::uint32_t stage = first + static_cast<std::uint32_t>(k - 1);
      peers_.wait_for_stage(SharedPeers::Stage::kFilled, stage + 1, signature, limit);
      reduce(k - 1, stage);
      peers_.raise_stage(SharedPeers::Stage::kReduced, stage + 1);
    }
    if (k >= 2) {
      const std::uint32_t stage = first + static_cast<std::uint32_t>(k - 2);
      peers_.wait_for_stage(SharedPeers::Stage::kReduced, stage + 1, signature, limit);
      copy_out(k - 2, stage);
      peers_.raise_stage(SharedPeers::Stage::kConsumed, stage + 1);
    }
  }
  stages_ = first + static_cast<std::uint32_t>(stages);
}

// Of each stage a rank reduces its part, straight from its own tensor and the peers' staging areas, into
// its tensor and its own area, from which the others take it.
void SharedEngine::stage_all_reduce(Work& work, const WaitLimit& limit) {
  const CollectiveSignature& signature = work.signature;
  const auto element_bytes = static_cast<std::int64_t>(c10::elementSize(signature.dtype));
  const std::int64_t per_stage = kStageBytes / element_bytes;
  const int world = world_size();
  const RingChunks chunks = ring_chunks(signature.count, element_bytes, world);
  auto* data = static_cast<std::byte*>(work.output.data_ptr());
  const auto elements = [&](std::int64_t k) { return std::min(per_stage, signature.count - k * per_stage); };
  const auto parts = [&](std::int64_t k, int r) { return part_of(elements(k), element_bytes, r, world); };
  const auto copy = [&](std::byte* to, const std::byte* from, std::int64_t begin, std::int64_t end) {
    std::memcpy(to + begin * element_bytes, from + begin * element_bytes,
                static_cast<std::size_t>((end - begin) * element_bytes));
  };
  std::vector<const void*> inputs(static_cast<std::size_t>(world));
  run_stages((signature.count + per_stage - 1) / per_stage, signature, limit,
             [&](std::int64_t k, std::uint32_t stage) {
               const std::byte* from = data + k * kStageBytes;
               const Part mine = parts(k, rank());
               copy(peers_.staging(rank(), stage), from, 0, mine.begin);
               copy(peers_.staging(rank(), stage), from, mine.end, elements(k));
               add_bytes_sent((elements(k) - (mine.end - mine.begin)) * element_bytes);
             },
             [&](std::int64_t k, std::uint32_t stage) {
               const Part mine = parts(k, rank());
               // As if each staging area were a whole tensor, of which one stage is there.
               for (int r = 0; r < world; ++r) {
                 inputs[static_cast<std::size_t>(r)] =
                     r == rank() ? data : peers_.staging(r, stage) - k * kStageBytes;
               }
               const std::array<void*, 2> outputs{data, peers_.staging(rank(), stage) - k * kStageBytes};
               fold_ranks(outputs, inputs, k * per_stage + mine.begin, k * per_stage + mine.end, chunks,
                          {signature.dtype, signature.op, order_, 1.0});
               add_bytes_sent((mine.end - mine.begin) * element_bytes * (world - 1));
             },
             [&](std::int64_t k, std::uint32_t stage) {
               for (int r = 0; r < world; ++r) {
                 const Part part = parts(k, r);
                 if (r != rank())
                   copy(data + k * kStageBytes, peers_.staging(r, stage), part.begin, part.end);
               }
             });
}

// A stage holds the same range of every block.
void SharedEngine::stage_reduce_scatter(Work& work, const WaitLimit& limit) {
  const CollectiveSignature& signature = work.signature;
  const auto element_bytes = static_cast<std::int64_t>(c10::elementSize(signature.dtype));
  const int world = world_size();
  const std::int64_t block = signature.count / world;
  const std::int64_t per_stage = std::max<std::int64_t>(kStageBytes / world / element_bytes, 1);
  const auto* input = static_cast<const std::byte*>(work.input.const_data_ptr());
  auto* output = static_cast<std::byte*>(work.output.data_ptr());
  const auto bytes = [&](std::int64_t k) {
    return std::min(per_stage, block - k * per_stage) * element_bytes;
  };
  run_stages((block + per_stage - 1) / per_stage, signature, limit,
             [&](std::int64_t k, std::uint32_t stage) {
               for (int r = 0; r < world; ++r) {
                 if (r == rank()) continue;
                 std::memcpy(peers_.staging(rank(), stage) + r * bytes(k),
                             input + (r * block + k * per_stage) * element_bytes,
                             static_cast<std::size_t>(bytes(k)));
               }
               add_bytes_sent(bytes(k) * (world - 1));
             },
             [&](std::int64_t k, std::uint32_t stage) {
               std::vector<const void*> inputs;
               for (int r = 0; r < world; ++r) {
                 inputs.push_back(r == rank() ? input + (r * block + k * per_stage) * element_bytes
                                              : peers_.staging(r, stage) + rank() * bytes(k));
               }
               fold_block(work, inputs, output + k * per_stage * element_bytes, 0, bytes(k) / element_bytes);
             },
             [](std::int64_t, std::uint32_t) {});
}

// All-gather, broadcast and send_receive: what a rank gives, stage by stage, to its place in everybody's
// output.
void SharedEngine::stage_copies(Work& work, const WaitLimit& limit) {
  const CollectiveSignature& signature = work.signature;
  const bool gathers = signature.kind == CollectiveKind::kAllGather;
  const bool gives = signature.kind != CollectiveKind::kBroadcast || rank() == signature.root;
  const auto takes_from = [&](int r) {
    if (signature.kind == CollectiveKind::kSendReceive) return r == next_rank();
    return r != rank() && (gathers || r == signature.root);
  };
  const int takers = signature.kind == CollectiveKind::kSendReceive ? 1 : world_size() - 1;
  const std::int64_t block = work.given_bytes;
  const auto* given = static_cast<const std::byte*>(work.given);
  auto* output = static_cast<std::byte*>(work.output.data_ptr());
  const auto bytes = [&](std::int64_t k) {
    return static_cast<std::size_t>(std::min(kStageBytes, block - k * kStageBytes));
  };
  if (gathers) std::memmove(output + rank() * block, given, static_cast<std::size_t>(block));
  run_stages((block + kStageBytes - 1) / kStageBytes, signature, limit,
             [&](std::int64_t k, std::uint32_t stage) {
               if (!gives) return;
               std::memcpy(peers_.staging(rank(), stage), given + k * kStageBytes, bytes(k));
               add_bytes_sent(static_cast<std::int64_t>(bytes(k)) * takers);
             },
             [&](std::int64_t k, std::uint32_t stage) {
               for (int r = 0; r < world_size(); ++r) {
                 if (!takes_from(r)) continue;
                 std::memcpy(output + (gathers ? r * block : 0) + k * kStageBytes, peers_.staging(r, stage),
                             bytes(k));
               }
             },
             [](std::int64_t, std::uint32_t) {});
}

}  // namespace lockstep

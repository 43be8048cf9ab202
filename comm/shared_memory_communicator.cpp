#include "comm/shared_memory_communicator.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <deque>
#include <exception>
#include <mutex>
#include <stdexcept>
#include <utility>
#include <vector>

#include "comm/collective.h"
#include "comm/errors.h"
#include "comm/fold.h"
#include "comm/reduction.h"
#include "comm/shared_control.h"

namespace lockstep {
// Called by one thread at a time, but for abort().
class SharedMemoryCommunicator::Engine : public std::enable_shared_from_this<Engine> {
 public:
  class Work;

  Engine(std::shared_ptr<SharedMemory> memory, ReductionOrder order, std::chrono::milliseconds timeout)
      : order_(order), timeout_(timeout), peers_(std::move(memory), aborted_) {}

  int rank() const { return peers_.rank(); }
  int world_size() const { return peers_.world_size(); }
  ReductionOrder order() const { return order_; }
  const std::shared_ptr<SharedMemory>& memory() const { return peers_.memory(); }
  std::int64_t bytes_sent() const { return bytes_sent_.load(std::memory_order_relaxed); }
  double waited_s() const { return peers_.waited_s(); }
  void add_bytes_sent(std::int64_t bytes) { bytes_sent_.fetch_add(bytes, std::memory_order_relaxed); }

  WorkPtr submit(CollectiveSignature signature, at::Tensor output, at::Tensor input, Body body = {},
                 const void* mine = nullptr);
  void finish(const Work& work);
  void drain();
  void fail_from_now_on(std::exception_ptr error, const std::string& reason);

 private:
  void announce_what_fits();
  void announce(Work& work);
  void run(Work& work, const WaitLimit& limit);
  void run_inline(Work& work);
  void run_direct(Work& work, const WaitLimit& limit);
  void run_staged(Work& work, const WaitLimit& limit);
  void stage_all_reduce(Work& work, const WaitLimit& limit);
  void stage_reduce_scatter(Work& work, const WaitLimit& limit);
  void stage_copies(Work& work, const WaitLimit& limit);
  int next_rank() const { return (rank() + 1) % world_size(); }
  template <typename CopyIn, typename Reduce, typename CopyOut>
  void run_stages(std::int64_t stages, const CollectiveSignature& signature, const WaitLimit& limit,
                  CopyIn copy_in, Reduce reduce, CopyOut copy_out);
  void fold_block(Work& work, std::span<const void* const> inputs, void* output, std::int64_t begin,
                  std::int64_t end) const;

  const ReductionOrder order_;
  const std::chrono::milliseconds timeout_;
  std::atomic<bool> aborted_{false};
  SharedPeers peers_;
  std::atomic<std::int64_t> bytes_sent_{0};
  std::deque<std::shared_ptr<Work>> pending_;  // called and not done; the first `announced_` are announced
  std::size_t announced_ = 0;
  std::uint64_t next_sequence_ = 0;
  std::uint32_t stages_ = 0;  // staging rounds so far, which all ranks count alike
  std::uint32_t phases_ = 0;  // direct collectives so far
  std::mutex error_mutex_;    // abort() comes from any thread
  std::exception_ptr error_;
};

// One collective. Shares the engine, whose memory its tensors may lie in.
class SharedMemoryCommunicator::Engine::Work final : public lockstep::Work {
 public:
  Work(std::shared_ptr<Engine> engine, CollectiveSignature signature)
      : signature(signature), engine_(std::move(engine)) {}

  void wait() override {
    if (!completed) engine_->finish(*this);
    if (error) std::rethrow_exception(error);
  }
  bool is_completed() const override { return completed; }

  CollectiveSignature signature;
  at::Tensor output;
  at::Tensor input;  // where that is another tensor
  Body body;
  SharedMemory::Offset place = -1;  // of what this rank gives, if in its segment
  const void* given = nullptr;
  std::int64_t given_bytes = 0;
  bool completed = false;
  std::exception_ptr error;

 private:
  std::shared_ptr<Engine> engine_;
};

WorkPtr SharedMemoryCommunicator::Engine::submit(CollectiveSignature signature, at::Tensor output,
                                                 at::Tensor input, Body body, const void* mine) {
  signature.sequence = next_sequence_++;
  signature.order = order_;
  auto work = std::make_shared<Work>(shared_from_this(), signature);
  const at::Tensor& given = input.defined() ? input : output;
  if (given.defined()) {
    work->given = given.const_data_ptr();
    work->given_bytes = static_cast<std::int64_t>(given.nbytes());
  } else if (mine != nullptr) {
    work->given = mine;
    work->given_bytes = 1;
  }
  if (work->given != nullptr && memory()->contains(work->given, work->given_bytes))
    work->place = memory()->offset_of(work->given);
  work->output = std::move(output);
  work->input = std::move(input);
  work->body = std::move(body);
  {
    const std::scoped_lock lock(error_mutex_);
    work->error = error_;
  }
  if (work->error) {
    work->completed = true;
    return work;
  }
  pending_.push_back(work);
  announce_what_fits();
  return work;
}

// Peers that have finished with a slot say so; until then later collectives wait here to be announced.
void SharedMemoryCommunicator::Engine::announce_what_fits() {
  while (announced_ < pending_.size()) {
    Work& work = *pending_[announced_];
    if (!peers_.slot_is_free(work.signature.sequence)) return;
    announce(work);
    ++announced_;
  }
}

void SharedMemoryCommunicator::Engine::announce(Work& work) {
  const bool is_giver = work.signature.kind != CollectiveKind::kBroadcast || work.signature.root == rank();
  peers_.announce(work.signature, work.place,
                  is_giver && !work.body && work.given_bytes <= kInlineBytes ? work.given : nullptr,
                  work.given_bytes);
}

// Runs collectives in their order up to `work`.
void SharedMemoryCommunicator::Engine::finish(const Work& work) {
  while (!work.completed) {
    const std::shared_ptr<Work> head = pending_.front();
    const WaitLimit limit(timeout_, aborted_);
    try {
      if (announced_ == 0) {
        peers_.wait_for_slot(head->signature, limit);
        announce_what_fits();
      }
      run(*head, limit);
    } catch (const std::exception& error) {
      fail_from_now_on(std::current_exception(), error.what());
      const std::scoped_lock lock(error_mutex_);
      for (const auto& left : pending_) {
        left->error = error_;
        left->completed = true;
      }
      pending_.clear();
      announced_ = 0;
      return;
    }
    peers_.complete(head->signature);
    head->completed = true;
    // What it kept alive belongs to the caller again, who may keep the Work for long.
    head->output.reset();
    head->input.reset();
    head->body = {};
    pending_.pop_front();
    --announced_;
    announce_what_fits();
  }
}

void SharedMemoryCommunicator::Engine::drain() {
  if (!pending_.empty()) {
    const std::shared_ptr<Work> last = pending_.back();
    last->wait();
  }
}

// The first error stays, since an abort's reason says more than "was aborted".
void SharedMemoryCommunicator::Engine::fail_from_now_on(std::exception_ptr error, const std::string& reason) {
  {
    const std::scoped_lock lock(error_mutex_);
    if (!error_) error_ = std::move(error);
  }
  peers_.give_up(reason);
  aborted_.store(true, std::memory_order_release);
}

void SharedMemoryCommunicator::Engine::run(Work& work, const WaitLimit& limit) {
  peers_.wait_for_all(work.signature, limit);
  if (work.signature.kind == CollectiveKind::kBarrier) return;
  if (work.body) {
    std::vector<std::byte*> places;
    for (int r = 0; r < world_size(); ++r) places.push_back(memory()->at(r, peers_.place(r, work.signature)));
    work.body(places);
    peers_.meet(++phases_, work.signature, limit);
    return;
  }
  if (work.given_bytes <= kInlineBytes) return run_inline(work);
  bool direct = true;
  for (int r = 0; r < world_size(); ++r) direct = direct && peers_.place(r, work.signature) >= 0;
  if (work.signature.kind == CollectiveKind::kBroadcast)
    direct = peers_.place(work.signature.root, work.signature) >= 0;
  if (direct) {
    run_direct(work, limit);
  } else {
    run_staged(work, limit);
  }
}

// Block rank() of a reduce-scatter: the first summand is the right neighbour's, as in a ring.
void SharedMemoryCommunicator::Engine::fold_block(Work& work, std::span<const void* const> inputs,
                                                  void* output, std::int64_t begin, std::int64_t end) const {
  std::vector<const void*> ordered;
  for (int hop = 1; hop <= world_size(); ++hop) {
    const int from = order_ == ReductionOrder::kTree ? hop - 1 : (rank() + world_size() - hop) % world_size();
    ordered.push_back(inputs[static_cast<std::size_t>(from)]);
  }
  fold_inputs({&output, 1}, ordered, begin, end, {work.signature.dtype, work.signature.op, order_, 1.0});
}

// Everybody reads what came with the announcements; nobody has to wait for anybody again.
void SharedMemoryCommunicator::Engine::run_inline(Work& work) {
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

void SharedMemoryCommunicator::Engine::run_direct(Work& work, const WaitLimit& limit) {
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

void SharedMemoryCommunicator::Engine::run_staged(Work& work, const WaitLimit& limit) {
  if (work.signature.kind == CollectiveKind::kAllReduce) return stage_all_reduce(work, limit);
  if (work.signature.kind == CollectiveKind::kReduceScatter) return stage_reduce_scatter(work, limit);
  stage_copies(work, limit);
}

// A pipeline of three: while peers read stage k, this rank fills k + 1.
template <typename CopyIn, typename Reduce, typename CopyOut>
void SharedMemoryCommunicator::Engine::run_stages(std::int64_t stages, const CollectiveSignature& signature,
                                                  const WaitLimit& limit, CopyIn copy_in, Reduce reduce,
                                                  CopyOut copy_out) {
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
void SharedMemoryCommunicator::Engine::stage_all_reduce(Work& work, const WaitLimit& limit) {
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
void SharedMemoryCommunicator::Engine::stage_reduce_scatter(Work& work, const WaitLimit& limit) {
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
void SharedMemoryCommunicator::Engine::stage_copies(Work& work, const WaitLimit& limit) {
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

SharedMemoryCommunicator::Created SharedMemoryCommunicator::create(CommunicatorPtr base, ReductionOrder order,
                                                                   std::chrono::milliseconds timeout) {
  const SharedMemory::Created created = SharedMemory::create(*base, SharedPeers::head_bytes(), timeout);
  if (!created.memory) return {nullptr, created.problem};
  auto engine = std::make_shared<Engine>(created.memory, order, timeout);
  return {std::shared_ptr<SharedMemoryCommunicator>(
              new SharedMemoryCommunicator(std::move(base), std::move(engine))),
          ""};
}

SharedMemoryCommunicator::SharedMemoryCommunicator(CommunicatorPtr base, std::shared_ptr<Engine> engine)
    : base_(std::move(base)), engine_(std::move(engine)) {}
SharedMemoryCommunicator::~SharedMemoryCommunicator() = default;

int SharedMemoryCommunicator::rank() const {
  return engine_->rank();
}
int SharedMemoryCommunicator::world_size() const {
  return engine_->world_size();
}
ReductionOrder SharedMemoryCommunicator::reduction_order() const {
  return engine_->order();
}
std::int64_t SharedMemoryCommunicator::bytes_sent() const {
  return engine_->bytes_sent() + base_->bytes_sent();
}
const std::shared_ptr<SharedMemory>& SharedMemoryCommunicator::memory() const {
  return engine_->memory();
}
double SharedMemoryCommunicator::waited_s() const {
  return engine_->waited_s();
}
void SharedMemoryCommunicator::add_bytes_sent(std::int64_t bytes) {
  engine_->add_bytes_sent(bytes);
}

at::Tensor SharedMemoryCommunicator::allocate(at::IntArrayRef sizes, const at::TensorOptions& options) {
  if (options.device().is_cpu()) {
    const at::Tensor tensor = engine_->memory()->allocate_tensor(sizes, options);
    if (tensor.defined()) return tensor;
  }
  return Communicator::allocate(sizes, options);
}

WorkPtr SharedMemoryCommunicator::all_reduce(at::Tensor tensor, ReduceOp op) {
  check_collective_tensor(tensor, "all_reduce");
  if (tensor.is_cuda()) return base_->all_reduce(std::move(tensor), op);
  const CollectiveSignature signature{
      0, CollectiveKind::kAllReduce, op, tensor.scalar_type(), 0, tensor.numel()};
  return engine_->submit(signature, std::move(tensor), {});
}

WorkPtr SharedMemoryCommunicator::reduce_scatter(at::Tensor output, at::Tensor input, ReduceOp op) {
  check_collective_blocks(output, input, world_size(), "reduce_scatter");
  if (input.is_cuda()) return base_->reduce_scatter(std::move(output), std::move(input), op);
  const CollectiveSignature signature{
      0, CollectiveKind::kReduceScatter, op, input.scalar_type(), 0, input.numel()};
  return engine_->submit(signature, std::move(output), std::move(input));
}

WorkPtr SharedMemoryCommunicator::all_gather(at::Tensor output, at::Tensor input) {
  check_collective_blocks(input, output, world_size(), "all_gather");
  if (input.is_cuda()) return base_->all_gather(std::move(output), std::move(input));
  const CollectiveSignature signature{
      0, CollectiveKind::kAllGather, ReduceOp::kSum, output.scalar_type(), 0, output.numel()};
  return engine_->submit(signature, std::move(output), std::move(input));
}

WorkPtr SharedMemoryCommunicator::broadcast(at::Tensor tensor, int root) {
  check_collective_tensor(tensor, "broadcast");
  check_root(root, world_size());
  if (tensor.is_cuda()) return base_->broadcast(std::move(tensor), root);
  const CollectiveSignature signature{
      0, CollectiveKind::kBroadcast, ReduceOp::kSum, tensor.scalar_type(), root, tensor.numel()};
  return engine_->submit(signature, std::move(tensor), {});
}

WorkPtr SharedMemoryCommunicator::send_receive(at::Tensor output, at::Tensor input) {
  check_send_receive(output, input);
  if (input.is_cuda()) return base_->send_receive(std::move(output), std::move(input));
  const CollectiveSignature signature{
      0, CollectiveKind::kSendReceive, ReduceOp::kSum, input.scalar_type(), 0, input.numel()};
  return engine_->submit(signature, std::move(output), std::move(input));
}

void SharedMemoryCommunicator::barrier() {
  engine_->submit({0, CollectiveKind::kBarrier, ReduceOp::kSum, at::kByte, 0, 0}, {}, {})->wait();
}

WorkPtr SharedMemoryCommunicator::exchange(std::int64_t tag, const void* mine, Body body) {
  if (!memory()->contains(mine, 1))
    throw std::invalid_argument("exchange needs memory of this rank's segment; allocate() gives it");
  return engine_->submit({0, CollectiveKind::kExchange, ReduceOp::kSum, at::kByte, 0, tag}, {}, {},
                         std::move(body), mine);
}

// Nobody leaves before all have come, so that a peer's end is never taken for a failure.
void SharedMemoryCommunicator::shutdown() {
  engine_->drain();
  barrier();
  base_->shutdown();
}

void SharedMemoryCommunicator::abort(const std::string& reason) noexcept {
  try {
    engine_->fail_from_now_on(
        std::make_exception_ptr(CommError("rank " + std::to_string(rank()) + ": " + reason)), reason);
  } catch (...) {
    std::terminate();  // out of memory for an error message: nothing can be told to anybody any more
  }
  base_->abort(reason);
}

}  // namespace lockstep

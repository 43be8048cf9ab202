#include "comm/shared_engine.h"

#include <vector>

namespace lockstep {

WorkPtr SharedEngine::submit(CollectiveSignature signature, at::Tensor output, at::Tensor input, Body body,
                             const void* mine) {
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
void SharedEngine::announce_what_fits() {
  while (announced_ < pending_.size()) {
    Work& work = *pending_[announced_];
    if (!peers_.slot_is_free(work.signature.sequence)) return;
    announce(work);
    ++announced_;
  }
}

void SharedEngine::announce(Work& work) {
  const bool is_giver = work.signature.kind != CollectiveKind::kBroadcast || work.signature.root == rank();
  peers_.announce(work.signature, work.place,
                  is_giver && !work.body && work.given_bytes <= kInlineBytes ? work.given : nullptr,
                  work.given_bytes);
}

// Runs collectives in their order up to `work`.
void SharedEngine::finish(const Work& work) {
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

void SharedEngine::drain() {
  if (!pending_.empty()) {
    const std::shared_ptr<Work> last = pending_.back();
    last->wait();
  }
}

// The first error stays, since an abort's reason says more than "was aborted".
void SharedEngine::fail_from_now_on(std::exception_ptr error, const std::string& reason) {
  {
    const std::scoped_lock lock(error_mutex_);
    if (!error_) error_ = std::move(error);
  }
  peers_.give_up(reason);
  aborted_.store(true, std::memory_order_release);
}

void SharedEngine::run(Work& work, const WaitLimit& limit) {
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

}  // namespace lockstep

#include "comm/communicator.h"

#include <utility>

#include "comm/sum_rows.h"

namespace lockstep {
namespace {

// Everybody gets everybody's rows and adds them up in wait(): right for every backend, if not quick.
class GatheredRows final : public Work {
 public:
  GatheredRows(WorkPtr gather, at::Tensor all_rows, at::Tensor output, ReductionOrder order)
      : gather_(std::move(gather)),
        all_rows_(std::move(all_rows)),
        output_(std::move(output)),
        order_(order) {}

  void wait() override {
    if (gather_) gather_->wait();
    if (!all_rows_.defined()) return;
    sum_rows(output_, all_rows_, order_);
    all_rows_.reset();
  }
  bool is_completed() const override { return !all_rows_.defined(); }

 private:
  WorkPtr gather_;
  at::Tensor all_rows_;  // undefined once they are added up
  at::Tensor output_;
  ReductionOrder order_;
};

}  // namespace

WorkPtr Communicator::all_reduce_rows(at::Tensor output, at::Tensor rows, ReductionOrder order) {
  check_rows(output, rows, "all_reduce_rows");
  if (world_size() == 1) {
    return std::make_shared<GatheredRows>(nullptr, std::move(rows), std::move(output), order);
  }
  const at::Tensor all_rows = at::empty({world_size() * rows.size(0), rows.size(1)}, rows.options());
  WorkPtr gather = all_gather(all_rows, std::move(rows));
  return std::make_shared<GatheredRows>(std::move(gather), all_rows, std::move(output), order);
}

}  // namespace lockstep

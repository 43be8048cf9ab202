#include "comm/tree_sum.h"

#include "comm/tree_sum_kernel.h"

namespace lockstep {
namespace {

struct OneThread {
  template <int kLanes, typename T>
  void operator()(const TreeSum<T>& sum) const {
    add_up_share<kLanes>(sum, 0, 1);
  }
};

}  // namespace

bool has_tree_sum(c10::ScalarType dtype) {
  return dtype == c10::kFloat || dtype == c10::kDouble || dtype == c10::kHalf || dtype == c10::kBFloat16;
}

void tree_sum_on_cpu(const TreeSumCall& call) {
  run_tree_sum(call, OneThread{});
}

}  // namespace lockstep

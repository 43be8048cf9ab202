#include "trainer/models/model.h"

#include <ATen/ops/argmax.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/stack.h>

namespace lockstep {
namespace {

constexpr std::int64_t kIgnored = -100;  // cross_entropy_loss's default

}  // namespace

at::Tensor Model::loss(const at::Tensor& output, const at::Tensor& target) const {
  return at::cross_entropy_loss(output.to(at::kFloat), target);
}

at::Tensor Model::score(const at::Tensor& output, const at::Tensor& target) const {
  return classification_score(output, target).unsqueeze(0);
}

at::Tensor classification_score(const at::Tensor& logits, const at::Tensor& target) {
  const at::Tensor wide = logits.to(at::kFloat);
  return at::stack({at::cross_entropy_loss(wide, target, {}, at::Reduction::Sum).to(at::kDouble),
                    wide.argmax(1).eq(target).sum().to(at::kDouble),
                    target.ne(kIgnored).sum().to(at::kDouble)});
}

}  // namespace lockstep

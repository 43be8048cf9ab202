// The kernels behind comm/fold.h, compiled once for each level of x86-64 and chosen at run time. Not for use
// outside comm/. Nothing of LibTorch or the standard library is included: an inline function compiled for
// AVX-512 must not become the one that the linker takes for everybody.
#pragma once

#include <stddef.h>

namespace lockstep {

enum class FoldElement { kFloat, kDouble, kHalf, kBFloat16, kInt, kLong, kByte };
enum class FoldOp { kSum, kMax, kMin };

struct FoldCall {
  void* const* outputs;  // to the first element to write
  int num_outputs;
  const void* const* inputs;  // to the first element to read
  int num_inputs;
  long count;
  FoldElement element;
  FoldOp op;
  bool tree;
  double scale;  // 1: none
};

using FoldKernel = void (*)(const FoldCall& call);

namespace fold_default {
void fold(const FoldCall& call);
}
namespace fold_v3 {
void fold(const FoldCall& call);
}
namespace fold_v4 {
void fold(const FoldCall& call);
}

}  // namespace lockstep

// One pass over memory for a whole update rule, compiled once for each level of x86-64. Not for use outside
// this folder. Nothing of the standard library is included (comm/fold_kernels.h says why).
#pragma once

namespace lockstep {

// Pointers to `count` float32 elements. Scalars as LibTorch rounds them.
struct SgdCall {
  float* parameter;
  float* momentum_buffer;  // null: no momentum
  const float* grad;
  long count;
  float lr;
  float momentum;
  float one_minus_dampening;
  float weight_decay;  // 0: none
  bool first;          // the buffer becomes the gradient
  bool nesterov;
};

// The moments, and then the parameters: LibTorch's square root is MKL's, which is not the exactly rounded
// one, so it is taken in between.
struct AdamMomentsCall {
  const float* parameter;
  float* exp_avg;
  float* exp_avg_sq;
  const float* grad;
  long count;
  float l2;  // Adam: weight decay as a part of the gradient; 0: none
  float one_minus_beta1;
  float beta2;
  float one_minus_beta2;
};

struct AdamParametersCall {
  float* parameter;
  const float* exp_avg;
  const float* exp_avg_sq_sqrt;
  long count;
  float parameter_scale;  // AdamW: 1 - lr * weight_decay; 1: none
  float bias_correction2_sqrt;
  float eps;
  float step_size;
};

struct UpdateKernels {
  void (*sgd)(const SgdCall& call);
  void (*adam_moments)(const AdamMomentsCall& call);
  void (*adam_parameters)(const AdamParametersCall& call);
};

namespace update_default {
extern const UpdateKernels kernels;
}
namespace update_v3 {
extern const UpdateKernels kernels;
}
namespace update_v4 {
extern const UpdateKernels kernels;
}

}  // namespace lockstep

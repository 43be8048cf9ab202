// What else decides the bits of a run on a GPU, held fast (docs/parity.md).
#pragma once

#include <string>

namespace lockstep {

// cuDNN takes deterministic algorithms and does not choose by trying them out, LibTorch's own operations are
// deterministic where they can be and warn where they cannot, cuBLAS gets a workspace of fixed size, and NCCL
// no sums in its switches (NVLS). To be called before anything uses CUDA or NCCL and before other threads
// read the environment. A CUBLAS_WORKSPACE_CONFIG or NCCL_NVLS_ENABLE that is set already stays as it is.
// Returns one line for the user that says all this.
std::string pin_cuda_arithmetic();

}  // namespace lockstep

// Which device a rank computes on.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>

#include "comm/placement.h"

namespace lockstep {

// Versions as CUDA codes them, 13000 for 13.0; a driver of 0 is none.
struct CudaVersions {
  int driver = 0;   // the newest that it serves
  int runtime = 0;  // what we were built with
};
CudaVersions cuda_versions();
std::string cuda_version_text(int version);

// Why there is no GPU to compute on, in one clause that says what to do about it.
std::string why_no_gpu(const CudaVersions& versions);

// `asked_for` cpu, cuda or auto (a GPU where there is one): GPU `local_rank`, or one that several ranks share
// where there are fewer. Throws std::invalid_argument where cuda was asked for and cannot be had.
at::Device choose_device(const std::string& asked_for, const Placement& placement);

}  // namespace lockstep

// Drift: parameters that are no longer equal on all ranks, through broken hardware or a program that forgot
// to average.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

namespace lockstep {

// Of all elements' bits: a whole number above 0 and below 2^53, so that StepAgreement can carry it. Equal
// tensors have equal ones; one flipped bit always changes it.
double fingerprint(const std::vector<at::Tensor>& tensors);

// Who differs from the majority: "rank 2 differs from the 3 others", "ranks 0 and 1 differ; of two there is
// no telling which is wrong".
std::string describe_drift(const std::vector<double>& fingerprints);

}  // namespace lockstep

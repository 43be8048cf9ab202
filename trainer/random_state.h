// The random state of a process: saved, restored and seeded, so that a resumed run draws what it would have
// drawn.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace lockstep {

// Seeds the default generators as torch.manual_seed does: the CPU's, and those of the GPUs where there are
// any.
void seed_everything(std::uint64_t seed);

// The default generators' state as bytes: the CPU's, followed by that of `device` if it is a GPU.
at::Tensor random_state(at::Device device);
// Throws DataError if `state` was not made by random_state() for the same kind of device.
void set_random_state(const at::Tensor& state, at::Device device);

// Python's DataLoader draws one int64 from the default generator whenever an epoch begins; so do we, or
// dropout would drift away from PyTorch's.
void draw_data_loader_seed();

}  // namespace lockstep

// Operations of several steps done in one pass over memory, with their derivatives, on the CPU.

#pragma once

#include "Shim.h"

namespace ctorch {

// Whether the passes below can serve these tensors; else the composed form has to.
bool can_fuse(const at::Tensor &input);

// input / sqrt(mean(input^2) + epsilon) * weight over the last axis.
at::Tensor fused_rms_norm(const at::Tensor &input, const at::Tensor &weight, double epsilon);

// input [B, H, T, d] rotated by tables that broadcast to it and have no derivative.
at::Tensor fused_rotary(const at::Tensor &input, const at::Tensor &cosines, const at::Tensor &sines);

}  // namespace ctorch

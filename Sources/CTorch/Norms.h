// Normalisations done in one pass over memory, with their derivatives, on the CPU: bf16, fp32 and fp64, statistics
// in fp32 (fp64 for fp64). What they give has a recipe (Recipe.h).

#pragma once

#include "Shim.h"

namespace ctorch {

// Whether the passes below can serve these tensors; else the composed form has to.
bool can_fuse_norm(const at::Tensor &input, const std::optional<at::Tensor> &weight,
                   const std::optional<at::Tensor> &bias);

// input / sqrt(mean(input^2) + epsilon) * weight over the last axis.
at::Tensor fused_rms_norm(const at::Tensor &input, const std::optional<at::Tensor> &weight, double epsilon);

// (input - mean) / sqrt(variance + epsilon) * weight + bias over the last axis.
at::Tensor fused_layer_norm(const at::Tensor &input, const std::optional<at::Tensor> &weight,
                            const std::optional<at::Tensor> &bias, double epsilon);

// The same of [B, T, D] with (1 + scale) and shift, each [B, 1, D].
at::Tensor fused_modulated_norm(const at::Tensor &input, const at::Tensor &scale, const at::Tensor &shift,
                                double epsilon);

}  // namespace ctorch

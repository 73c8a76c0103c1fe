// Pointwise functions of bf16 and fp32 in one pass over memory, worked out in fp32.

#pragma once

#include "Shim.h"

namespace ctorch {

enum class Activation : int64_t { silu, quick_gelu, gelu, gelu_tanh };

// act(x + bias), which keeps x for its derivative and nothing else, and has a recipe (Recipe.h); composed where it
// cannot be fused.
at::Tensor activated(Activation activation, const at::Tensor &x, const std::optional<at::Tensor> &bias);

}  // namespace ctorch

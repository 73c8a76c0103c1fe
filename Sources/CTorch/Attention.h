// Attention on the CPU whose scores are never in memory all together, with its derivatives.

#pragma once

#include "Shim.h"

namespace ctorch {

// Whether a kernel of our own can serve these [B, H, T, d], [B, K, S, d] and [B, K, S, e].
bool can_attend_in_blocks(const at::Tensor &query, const at::Tensor &key, const at::Tensor &value);

// softmax(query key^T * scale + mask) value; `mask` broadcasts to [B, H, T, S] and has no derivative.
at::Tensor attention_in_blocks(const at::Tensor &query, const at::Tensor &key, const at::Tensor &value,
                               const std::optional<at::Tensor> &mask, bool causal, double scale);

// silu(query key^T) value * factor.
at::Tensor silu_attention_in_blocks(const at::Tensor &query, const at::Tensor &key, const at::Tensor &value,
                                    double factor);

}  // namespace ctorch

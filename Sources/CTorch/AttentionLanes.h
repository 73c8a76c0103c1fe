// Attention by blocks of queries and keys in vectors of fp32, on any processor.

#pragma once

#include "AttentionProblem.h"

namespace ctorch {

// Of T float or c10::BFloat16. `sums` [B, H, T] gets the logarithms (base 2) of the softmax's denominators, which
// backward needs.
template <typename T> void lane_attention(const AttentionProblem &problem, const HeadsView &out, float *sums);

// Views whose data is null are not wanted.
template <typename T>
void lane_attention_backward(const AttentionProblem &problem, const HeadsView &out, const HeadsView &gradient,
                             const float *sums, const HeadsView &query_gradient, const HeadsView &key_gradient,
                             const HeadsView &value_gradient);

}  // namespace ctorch

// Attention by blocks of queries and keys on processors that multiply pairs of bf16: with a matrix unit (AMX), or in
// vectors (AVX512_BF16).

#pragma once

#include "AttentionProblem.h"

namespace ctorch {

// Whether this processor can run the functions below, within `ct_limit_instructions`.
bool can_multiply_pairs();

// Of bf16. `sums` [B, H, T] gets the logarithms (base 2) of the softmax's denominators, which backward needs.
void block_attention(const AttentionProblem &problem, const HeadsView &out, float *sums);

// Views whose data is null are not wanted.
void block_attention_backward(const AttentionProblem &problem, const HeadsView &out, const HeadsView &gradient,
                              const float *sums, const HeadsView &query_gradient,
                              const HeadsView &key_gradient, const HeadsView &value_gradient);

}  // namespace ctorch

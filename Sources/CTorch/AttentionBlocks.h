// Attention by blocks of queries and keys on processors with a matrix unit (AMX) for bf16.

#pragma once

#include "AttentionProblem.h"

namespace ctorch {

// Whether this processor and this system let the functions below run.
bool has_matrix_unit();

// Of bf16. `sums` [B, H, T] gets the logarithms (base 2) of the softmax's denominators, which backward needs.
void block_attention(const AttentionProblem &problem, const HeadsView &out, float *sums);

// Views whose data is null are not wanted.
void block_attention_backward(const AttentionProblem &problem, const HeadsView &out, const HeadsView &gradient,
                              const float *sums, const HeadsView &query_gradient,
                              const HeadsView &key_gradient, const HeadsView &value_gradient);

}  // namespace ctorch

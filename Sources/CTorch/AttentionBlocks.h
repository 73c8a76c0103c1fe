// Attention by blocks of queries and keys on processors with a matrix unit (AMX) for bf16.

#pragma once

#include <cstdint>

namespace ctorch {

// What weights are made of scores.
enum class Weighting { softmax, silu };

// bf16 values [B, H, T, width], the last axis dense; strides in elements.
struct BlockView {
  uint16_t *data = nullptr;
  int64_t batch = 0, head = 0, row = 0;

  uint16_t *at(int64_t b, int64_t h) const { return data + b * batch + h * head; }
};

struct BlockAttention {
  Weighting weighting = Weighting::softmax;
  // `shared` counts the heads of keys and values; query head h uses head h / (heads / shared).
  int64_t batch = 0, heads = 0, shared = 0, queries = 0, keys = 0;
  int64_t width = 0, depth = 0;  // of queries and keys; of values
  float scale = 1;               // of scores
  float factor = 1;              // of SiLU weights
  bool causal = false;
  BlockView query, key, value;
  // Added to scores, transposed: [.., keys, queries rounded up to block_edge], in units of log2; may be null.
  const float *bias = nullptr;
  int64_t bias_batch = 0, bias_head = 0;
};

constexpr int64_t block_edge = 32;

// Whether this processor and this system let the functions below run.
bool has_matrix_unit();

// `sums` [B, H, T] gets the logarithms (base 2) of the softmax's denominators, which backward needs.
void block_attention(const BlockAttention &problem, const BlockView &out, float *sums);

// Views whose data is null are not wanted.
void block_attention_backward(const BlockAttention &problem, const BlockView &out, const BlockView &gradient,
                              const float *sums, const BlockView &query_gradient,
                              const BlockView &key_gradient, const BlockView &value_gradient);

}  // namespace ctorch

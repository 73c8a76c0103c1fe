// What the attention kernels of the CPU are asked.

#pragma once

#include <cstdint>

namespace ctorch {

// What weights are made of scores.
enum class Weighting { softmax, silu };

// Values [B, H, T, width], the last axis dense; strides in elements.
struct HeadsView {
  void *data = nullptr;
  int64_t batch = 0, head = 0, row = 0;

  template <typename T> T *at(int64_t b, int64_t h) const { return static_cast<T *>(data) + b * batch + h * head; }
};

struct AttentionProblem {
  Weighting weighting = Weighting::softmax;
  // `shared` counts the heads of keys and values; query head h uses head h / (heads / shared).
  int64_t batch = 0, heads = 0, shared = 0, queries = 0, keys = 0;
  int64_t width = 0, depth = 0;  // of queries and keys; of values
  float scale = 1;               // of scores
  float factor = 1;              // of SiLU weights
  bool causal = false;
  HeadsView query, key, value;
  // Added to scores, transposed: [.., keys, queries rounded up to block_edge], in units of log2; may be null.
  const float *bias = nullptr;
  int64_t bias_batch = 0, bias_head = 0;
};

// Queries that are worked on together.
constexpr int64_t block_edge = 32;

}  // namespace ctorch

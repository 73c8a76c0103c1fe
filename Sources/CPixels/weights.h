#ifndef CPIXELS_WEIGHTS_H
#define CPIXELS_WEIGHTS_H

#include "cpixels.h"

/// Fixed-point bits of a weight: 8-bit results, two bits of head room in 32.
enum { WEIGHT_BITS = 22 };

/// The taps of consecutive output positions along one axis. Output `i` is the sum over `j < length[i]` of
/// `weights[i * stride + j] * in[start[i] + j]`; the weights from `length[i]` to `stride` are zero.
typedef struct {
  size_t count;
  size_t stride;  // a multiple of 4
  size_t *start;
  size_t *length;
  int32_t *weights;
  int32_t *packed;  // room for as many words as `weights`, laid out by the kernel that reads them
} axis_weights;

/// Weights of outputs `first ..< first + count` when `in_size` samples become `out_size`. Returns 0 or -1.
int make_weights(
    axis_weights *axis, size_t in_size, size_t out_size, size_t first, size_t count,
    cpixels_filter filter);

void free_weights(axis_weights *axis);

/// Rounds a fixed-point sum that started from half a unit, and clamps it to a byte.
static inline uint8_t clamped(int32_t sum) {
  sum >>= WEIGHT_BITS;
  return sum < 0 ? 0 : sum > 255 ? 255 : (uint8_t)sum;
}

#endif

#ifndef CPIXELS_PASSES_H
#define CPIXELS_PASSES_H

#include "weights.h"

/// One way to resample. All give the same bytes: the sums are exact in 32 bits, so their order is free.
typedef struct {
  /// Lays `axis->weights` out in `axis->packed`.
  void (*pack)(axis_weights *axis);
  /// Resamples along the rows: `rows` rows of RGB, `in_stride` bytes apart, to `axis->count` pixels each,
  /// `out_stride` bytes apart. A row has `in_bytes` bytes; memory up to `in_end` may be read, and its bytes
  /// beyond a row do not matter. Returns 0, or -1 where memory ran out.
  int (*rows)(
      const uint8_t *in, size_t in_stride, size_t in_bytes, const uint8_t *in_end, size_t rows,
      const axis_weights *axis, uint8_t *out, size_t out_stride);
  /// Resamples down the columns: packed rows of `row_bytes` bytes, to `axis->count` rows.
  void (*columns)(const uint8_t *in, size_t row_bytes, const axis_weights *axis, uint8_t *out);
} resampler;

extern const resampler portable_resampler;

#if defined(__x86_64__)
extern const resampler avx2_resampler;
extern const resampler avx512_resampler;

/// The bytes, from a row's start, that kernels which take four taps of sixteen bytes at a time may touch.
size_t touched_bytes(const axis_weights *axis);
#endif

#endif

#ifndef CPIXELS_PASSES_H
#define CPIXELS_PASSES_H

#include "weights.h"

/// Resamples along the rows: `rows` rows of RGB, `in_stride` bytes apart, to `axis->count` pixels each,
/// `out_stride` bytes apart. `in_end` is the end of the memory that may be read.
typedef void (*row_pass)(
    const uint8_t *in, size_t in_stride, const uint8_t *in_end, size_t rows,
    const axis_weights *axis, uint8_t *out, size_t out_stride);

/// Resamples down the columns: packed rows of `row_bytes` bytes, to `axis->count` rows. `axis->start` counts
/// from the row that `in` points at.
typedef void (*column_pass)(
    const uint8_t *in, size_t row_bytes, const axis_weights *axis, uint8_t *out);

void rows_portable(
    const uint8_t *in, size_t in_stride, const uint8_t *in_end, size_t rows,
    const axis_weights *axis, uint8_t *out, size_t out_stride);
void columns_portable(
    const uint8_t *in, size_t row_bytes, const axis_weights *axis, uint8_t *out);

#endif

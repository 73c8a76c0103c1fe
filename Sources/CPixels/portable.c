#include "passes.h"

static void pack(axis_weights *axis) { (void)axis; }

static int resample_rows(
    const uint8_t *in, size_t in_stride, size_t in_bytes, const uint8_t *in_end, size_t rows,
    const axis_weights *axis, uint8_t *out, size_t out_stride) {
  (void)in_bytes, (void)in_end;
  for (size_t y = 0; y < rows; y++, in += in_stride, out += out_stride) {
    for (size_t x = 0; x < axis->count; x++) {
      const int32_t *weights = axis->weights + x * axis->stride;
      const uint8_t *pixel = in + 3 * axis->start[x];
      int32_t r = 1 << (WEIGHT_BITS - 1), g = r, b = r;
      for (size_t j = 0; j < axis->length[x]; j++, pixel += 3) {
        r += weights[j] * pixel[0];
        g += weights[j] * pixel[1];
        b += weights[j] * pixel[2];
      }
      out[3 * x] = clamped(r);
      out[3 * x + 1] = clamped(g);
      out[3 * x + 2] = clamped(b);
    }
  }
  return 0;
}

enum { COLUMNS_AT_ONCE = 128 };

static void resample_columns(
    const uint8_t *in, size_t row_bytes, const axis_weights *axis, uint8_t *out) {
  int32_t sums[COLUMNS_AT_ONCE];
  for (size_t y = 0; y < axis->count; y++, out += row_bytes) {
    const int32_t *weights = axis->weights + y * axis->stride;
    const uint8_t *top = in + axis->start[y] * row_bytes;
    for (size_t x = 0; x < row_bytes; x += COLUMNS_AT_ONCE) {
      size_t count = row_bytes - x < COLUMNS_AT_ONCE ? row_bytes - x : COLUMNS_AT_ONCE;
      for (size_t i = 0; i < count; i++) sums[i] = 1 << (WEIGHT_BITS - 1);
      for (size_t j = 0; j < axis->length[y]; j++) {
        const uint8_t *row = top + j * row_bytes + x;
        const int32_t weight = weights[j];
        for (size_t i = 0; i < count; i++) sums[i] += weight * row[i];
      }
      for (size_t i = 0; i < count; i++) out[x + i] = clamped(sums[i]);
    }
  }
}

const resampler portable_resampler = {pack, resample_rows, resample_columns};

#include "passes.h"

#include <stdlib.h>
#include <string.h>

cpixels_instructions cpixels_best_instructions(void) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512vnni"))
    return CPIXELS_AVX512_VNNI;
  if (__builtin_cpu_supports("avx2")) return CPIXELS_AVX2;
#endif
  return CPIXELS_PORTABLE;
}

static const resampler *resampler_of(cpixels_instructions instructions) {
#if defined(__x86_64__)
  if (instructions == CPIXELS_AVX512_VNNI) return &avx512_resampler;
  if (instructions == CPIXELS_AVX2) return &avx2_resampler;
#endif
  (void)instructions;
  return &portable_resampler;
}

static void copy_window(
    const uint8_t *in, size_t width, cpixels_window window, uint8_t *out) {
  for (size_t y = 0; y < window.height; y++) {
    const uint8_t *row = in + ((window.top + y) * width + window.left) * 3;
    memcpy(out + y * window.width * 3, row, window.width * 3);
  }
}

/// Positions are accumulated, as in Pillow's scaling transform, so that roundings agree.
static void choose_nearest(size_t *chosen, size_t in_size, size_t out_size) {
  const double step = (double)in_size / (double)out_size;
  double position = step * 0.5;
  for (size_t i = 0; i < out_size; i++, position += step) {
    size_t nearest = (size_t)position;
    chosen[i] = nearest < in_size ? nearest : in_size - 1;
  }
}

static int resize_nearest(
    const uint8_t *in, size_t width, size_t height, size_t new_width, size_t new_height,
    cpixels_window window, uint8_t *out) {
  size_t *columns = malloc(new_width * sizeof *columns);
  size_t *rows = malloc(new_height * sizeof *rows);
  if (!columns || !rows) {
    free(columns);
    free(rows);
    return -1;
  }
  choose_nearest(columns, width, new_width);
  choose_nearest(rows, height, new_height);
  for (size_t y = 0; y < window.height; y++) {
    const uint8_t *row = in + rows[window.top + y] * width * 3;
    for (size_t x = 0; x < window.width; x++, out += 3)
      memcpy(out, row + columns[window.left + x] * 3, 3);
  }
  free(columns);
  free(rows);
  return 0;
}

/// The input positions that a run of outputs reads: from the first's start to the last's end.
static void reach(const axis_weights *axis, size_t *first, size_t *end) {
  *first = axis->start[0];
  *end = axis->start[axis->count - 1] + axis->length[axis->count - 1];
}

int cpixels_resize(
    const uint8_t *in, size_t width, size_t height, size_t new_width, size_t new_height,
    cpixels_window window, cpixels_filter filter, cpixels_instructions instructions, uint8_t *out) {
  const int along_rows = new_width != width, down_columns = new_height != height;
  if (!along_rows && !down_columns) {
    copy_window(in, width, window, out);
    return 0;
  }
  if (filter == CPIXELS_NEAREST)
    return resize_nearest(in, width, height, new_width, new_height, window, out);

  const resampler *kernels = resampler_of(instructions);
  axis_weights x = {0}, y = {0};
  uint8_t *between = NULL, *packed = NULL;
  int status = -1;
  if (along_rows && make_weights(&x, width, new_width, window.left, window.width, filter)) goto done;
  if (down_columns && make_weights(&y, height, new_height, window.top, window.height, filter))
    goto done;

  // What the window needs of the input.
  size_t left = window.left, right = window.left + window.width;
  size_t top = window.top, bottom = window.top + window.height;
  if (along_rows) {
    reach(&x, &left, &right);
    for (size_t i = 0; i < x.count; i++) x.start[i] -= left;
    kernels->pack(&x);
  }
  if (down_columns) {
    reach(&y, &top, &bottom);
    for (size_t i = 0; i < y.count; i++) y.start[i] -= top;
    kernels->pack(&y);
  }
  const uint8_t *first = in + (top * width + left) * 3;
  const uint8_t *in_end = in + width * height * 3;
  const size_t in_stride = width * 3, out_stride = window.width * 3;
  const size_t needed_rows = bottom - top, needed_bytes = (right - left) * 3;

  if (!down_columns) {
    status = kernels->rows(
        first, in_stride, needed_bytes, in_end, needed_rows, &x, out, out_stride);
    goto done;
  }
  // Pillow 13 goes down the columns first where that removes most of the work.
  const int columns_first =
      new_height < height &&
      (double)height - (double)new_height > 2 * ((double)width - (double)new_width);
  if (along_rows && !columns_first) {
    between = malloc(needed_rows * out_stride);
    if (!between) goto done;
    status = kernels->rows(
        first, in_stride, needed_bytes, in_end, needed_rows, &x, between, out_stride);
    if (status == 0) kernels->columns(between, out_stride, &y, out);
    goto done;
  }
  if (needed_bytes != in_stride) {  // the column pass wants packed rows
    packed = malloc(needed_rows * needed_bytes);
    if (!packed) goto done;
    for (size_t row = 0; row < needed_rows; row++)
      memcpy(packed + row * needed_bytes, first + row * in_stride, needed_bytes);
    first = packed;
  }
  if (!along_rows) {
    kernels->columns(first, needed_bytes, &y, out);
    status = 0;
    goto done;
  }
  between = malloc(window.height * needed_bytes);
  if (!between) goto done;
  kernels->columns(first, needed_bytes, &y, between);
  status = kernels->rows(
      between, needed_bytes, needed_bytes, between + window.height * needed_bytes, window.height, &x,
      out, out_stride);
done:
  free(packed);
  free(between);
  free_weights(&x);
  free_weights(&y);
  return status;
}
